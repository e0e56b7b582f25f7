#include "convert/convert.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "google/protobuf/util/json_util.h"

namespace graft {
namespace {

void ToProto(const ClassMetrics& metrics, v1::ClassMetrics* out) {
  out->set_label(metrics.label);
  out->set_precision(metrics.precision);
  out->set_recall(metrics.recall);
  out->set_f1(metrics.f1);
  out->set_support(metrics.support);
}

}  // namespace

google::protobuf::Timestamp ToTimestamp(int64_t ms) {
  google::protobuf::Timestamp time;
  time.set_seconds(ms / 1000);
  time.set_nanos(static_cast<int32_t>(ms % 1000) * 1'000'000);
  return time;
}

absl::StatusOr<SplitOptions> FromProto(const v1::SplitSpec& spec) {
  SplitOptions options;
  GRAFT_ASSIGN_OR_RETURN(options.label_rule, FromProto(spec.label_rule()));
  GRAFT_ASSIGN_OR_RETURN(options.hard_link, FromProto(spec.copy_mode()));
  switch (spec.sizes_case()) {
    case v1::SplitSpec::kCounts:
      options.sizes = SplitCounts{spec.counts().train(), spec.counts().validation(), spec.counts().test()};
      break;
    case v1::SplitSpec::kFractions:
      options.sizes = SplitFractions{spec.fractions().train(), spec.fractions().validation(), spec.fractions().test()};
      break;
    case v1::SplitSpec::SIZES_NOT_SET:
      return InvalidField("split.sizes", "not set; give counts or fractions for train, validation and test");
  }
  options.seed = spec.seed();
  GRAFT_RETURN_IF_ERROR(Annotate(options.Validate(), "split"));
  return options;
}

v1::EpochMetrics ToProto(const EpochMetrics& epoch) {
  v1::EpochMetrics out;
  out.set_epoch(epoch.epoch);
  out.set_loss(epoch.loss);
  out.set_accuracy(epoch.accuracy);
  out.set_validation_loss(epoch.validation_loss);
  out.set_validation_accuracy(epoch.validation_accuracy);
  out.set_seconds(epoch.seconds);
  out.set_input_wait_seconds(epoch.input_wait_seconds);
  return out;
}

v1::EvaluationReport ToProto(const EvaluationReport& report) {
  v1::EvaluationReport out;
  out.mutable_labels()->Assign(report.labels.begin(), report.labels.end());
  out.set_images(report.images);
  out.set_accuracy(report.accuracy);
  for (const ClassMetrics& metrics : report.classes) {
    ToProto(metrics, out.add_classes());
  }
  ToProto(report.macro_average, out.mutable_macro_average());
  ToProto(report.weighted_average, out.mutable_weighted_average());
  out.mutable_confusion()->Assign(report.confusion.begin(), report.confusion.end());
  if (report.roc_auc.has_value()) {
    out.set_roc_auc(*report.roc_auc);
  }
  out.set_log_loss(report.log_loss);
  return out;
}

v1::Layer ToProto(const LayerInfo& layer) {
  v1::Layer out;
  out.set_name(layer.name);
  out.set_type(layer.type);
  out.mutable_output_shape()->Assign(layer.output_shape.begin(), layer.output_shape.end());
  out.set_parameters(layer.parameters);
  out.set_trainable(layer.trainable);
  return out;
}

v1::Variant ToProto(const Variant& variant) {
  v1::Variant out;
  out.set_name(std::string(variant.name));
  out.set_summary(std::string(variant.summary));
  *out.mutable_defaults() = ToProto(variant.defaults);
  if (variant.trunk != nullptr) {
    out.set_trunk(std::string(variant.trunk->name));
  }
  const auto layers = DescribeVariant(variant, variant.defaults, 2);  // OK for every row: a test holds the table to it
  for (const LayerInfo& layer : layers.value()) {
    *out.add_layers() = ToProto(layer);
  }
  out.set_parameters(variant.parameters);
  out.set_trainable_parameters(variant.trainable_parameters);
  for (const OptionField& field : TrainingOptionFields()) {
    *out.add_options() = ToProto(field, variant.defaults);
  }
  return out;
}

v1::Dataset ToProto(const Manifest& manifest, absl::string_view name) {
  v1::Dataset out;
  out.set_name(std::string(name));
  for (const std::string& label : manifest.labels) {
    out.add_classes()->set_label(label);
  }
  int64_t bytes = 0;
  for (const ManifestEntry& entry : manifest.entries) {
    v1::ClassCount* count = out.mutable_classes(entry.label);
    switch (entry.part) {
      case Part::kTrain:
        count->set_train(count->train() + 1);
        break;
      case Part::kValidation:
        count->set_validation(count->validation() + 1);
        break;
      case Part::kTest:
        count->set_test(count->test() + 1);
        break;
    }
    bytes += entry.bytes;
  }
  constexpr int kListed = 1000;
  for (const SkippedEntry& entry : manifest.skipped) {
    if (out.skipped_size() == kListed) {
      break;
    }
    v1::SkippedFile* skipped = out.add_skipped();
    skipped->set_path(entry.path);
    skipped->set_reason(entry.reason);
  }
  out.set_skipped_total(static_cast<int64_t>(manifest.skipped.size()));
  out.set_unused(manifest.unused);
  out.set_size_bytes(bytes);
  out.set_fingerprint(manifest.fingerprint);
  return out;
}

absl::StatusOr<v1::Model> ToProto(const ModelDescription& model) {
  v1::Model out;
  out.set_name(model.name);
  out.set_version(model.version);
  *out.mutable_create_time() = ToTimestamp(model.create_time_ms);
  out.set_variant(model.variant);
  out.mutable_labels()->Assign(model.labels.begin(), model.labels.end());
  out.set_dataset(model.dataset);
  out.set_dataset_fingerprint(model.dataset_fingerprint);
  out.set_job_id(model.job_id);
  *out.mutable_options() = ToProto(model.options);
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(model.variant));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<LayerInfo> layers,
                         DescribeVariant(*variant, model.options, static_cast<int64_t>(model.labels.size())));
  int64_t parameters = 0;
  int64_t trainable = 0;
  for (const LayerInfo& layer : layers) {
    *out.add_layers() = ToProto(layer);
    parameters += layer.parameters;
    trainable += layer.trainable ? layer.parameters : 0;
  }
  out.set_parameters(parameters);
  out.set_trainable_parameters(trainable);
  for (const EpochMetrics& epoch : model.history) {
    *out.add_history() = ToProto(epoch);
  }
  out.set_training_seconds(model.training_seconds);
  return out;
}

std::string KindOf(const v1::JobSpec& spec) {
  const auto* kind = v1::JobSpec::descriptor()->FindOneofByName("kind");
  const auto* field = spec.GetReflection()->GetOneofFieldDescriptor(spec, kind);
  return field == nullptr ? "" : field->name();
}

std::string DatasetOf(const v1::JobSpec& spec) {
  switch (spec.kind_case()) {
    case v1::JobSpec::kSplit:
      return spec.split().dataset();
    case v1::JobSpec::kTrain:
      return spec.train().dataset();
    case v1::JobSpec::kExtractFeatures:
      return spec.extract_features().dataset();
    case v1::JobSpec::kEvaluate:
      return spec.evaluate().dataset();
    case v1::JobSpec::KIND_NOT_SET:
      break;
  }
  return "";
}

std::string ModelOf(const v1::JobSpec& spec) {
  switch (spec.kind_case()) {
    case v1::JobSpec::kTrain:
      return spec.train().model();
    case v1::JobSpec::kEvaluate:
      return spec.evaluate().model();
    default:
      return "";
  }
}

nlohmann::json MessageToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) {
    return nlohmann::json::object();
  }
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

absl::Status JsonToMessage(const nlohmann::json& json, google::protobuf::Message* message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // written by a newer version
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (const auto status = google::protobuf::util::JsonStringToMessage(text, message, options); !status.ok()) {
    return absl::DataLossError(absl::StrCat("not a ", message->GetTypeName(), ": ", std::string(status.message())));
  }
  return absl::OkStatus();
}

}  // namespace graft
