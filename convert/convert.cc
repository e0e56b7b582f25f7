#include "convert/convert.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "google/protobuf/util/json_util.h"

namespace graft {
namespace {

absl::StatusOr<OptimizerKind> FromProto(v1::Optimizer optimizer) {
  switch (optimizer) {
    case v1::OPTIMIZER_UNSPECIFIED:
    case v1::OPTIMIZER_RMSPROP:
      return OptimizerKind::kRmsprop;
    case v1::OPTIMIZER_SGD:
      return OptimizerKind::kSgd;
    case v1::OPTIMIZER_ADAM:
      return OptimizerKind::kAdam;
    case v1::OPTIMIZER_ADAMW:
      return OptimizerKind::kAdamW;
    default:
      return InvalidField("options.optimizer", absl::StrCat(static_cast<int>(optimizer), " is unknown"));
  }
}

absl::StatusOr<Precision> FromProto(v1::Precision precision) {
  switch (precision) {
    case v1::PRECISION_UNSPECIFIED:
    case v1::PRECISION_FLOAT32:
      return Precision::kFloat32;
    case v1::PRECISION_BFLOAT16:
      return Precision::kBfloat16;
    default:
      return InvalidField("options.precision", absl::StrCat(static_cast<int>(precision), " is unknown"));
  }
}

v1::Optimizer ToProto(OptimizerKind optimizer) {
  switch (optimizer) {
    case OptimizerKind::kRmsprop:
      return v1::OPTIMIZER_RMSPROP;
    case OptimizerKind::kSgd:
      return v1::OPTIMIZER_SGD;
    case OptimizerKind::kAdam:
      return v1::OPTIMIZER_ADAM;
    case OptimizerKind::kAdamW:
      return v1::OPTIMIZER_ADAMW;
  }
  return v1::OPTIMIZER_UNSPECIFIED;
}

v1::Interpolation ToProto(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::kNearest:
      return v1::INTERPOLATION_NEAREST;
    case Interpolation::kBilinear:
      return v1::INTERPOLATION_BILINEAR;
    case Interpolation::kArea:
      return v1::INTERPOLATION_AREA;
  }
  return v1::INTERPOLATION_UNSPECIFIED;
}

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
  switch (spec.label_rule()) {
    case v1::LABEL_RULE_UNSPECIFIED:
    case v1::LABEL_RULE_FILENAME:
      options.label_rule = LabelRule::kFilename;
      break;
    case v1::LABEL_RULE_FOLDER:
      options.label_rule = LabelRule::kFolder;
      break;
    default:
      return InvalidField("split.label_rule", absl::StrCat(static_cast<int>(spec.label_rule()), " is unknown"));
  }
  switch (spec.copy_mode()) {
    case v1::COPY_MODE_UNSPECIFIED:
    case v1::COPY_MODE_COPY:
      options.hard_link = false;
      break;
    case v1::COPY_MODE_HARD_LINK:
      options.hard_link = true;
      break;
    default:
      return InvalidField("split.copy_mode", absl::StrCat(static_cast<int>(spec.copy_mode()), " is unknown"));
  }
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

absl::StatusOr<TrainingOptions> FromProto(const v1::TrainingOptions& o, const TrainingOptions& defaults) {
  TrainingOptions options = defaults;
  if (o.has_epochs()) options.epochs = o.epochs();
  if (o.has_batch_size()) options.batch_size = o.batch_size();
  if (o.has_learning_rate()) options.learning_rate = o.learning_rate();
  if (o.has_rho()) options.rho = o.rho();
  if (o.has_epsilon()) options.epsilon = o.epsilon();
  if (o.has_momentum()) options.momentum = o.momentum();
  if (o.has_weight_decay()) options.weight_decay = o.weight_decay();
  if (o.has_dropout()) options.dropout = o.dropout();
  if (o.has_dense_units()) options.dense_units = o.dense_units();
  if (o.has_seed()) options.seed = o.seed();
  if (o.has_image_size()) options.image_size = o.image_size();
  if (o.has_threads()) options.threads = o.threads();
  if (o.has_device()) options.device = o.device();
  if (o.has_augment_zoom()) options.augmentation.zoom = o.augment_zoom();
  if (o.has_augment_rotation()) options.augmentation.rotation = o.augment_rotation();
  if (o.has_augment_width_shift()) options.augmentation.width_shift = o.augment_width_shift();
  if (o.has_augment_height_shift()) options.augmentation.height_shift = o.augment_height_shift();
  if (o.has_augment_shear()) options.augmentation.shear = o.augment_shear();
  if (o.has_augment_flip()) options.augmentation.flip = o.augment_flip();
  if (o.has_precision()) {
    GRAFT_ASSIGN_OR_RETURN(options.precision, FromProto(o.precision()));
  }
  if (o.has_optimizer()) {
    GRAFT_ASSIGN_OR_RETURN(options.optimizer, FromProto(o.optimizer()));
  }
  if (o.has_interpolation()) {
    GRAFT_ASSIGN_OR_RETURN(options.interpolation, FromProto(o.interpolation()));
  }
  if (o.has_preprocessing()) {
    GRAFT_ASSIGN_OR_RETURN(options.preprocessing, FromProto(o.preprocessing()));
  }
  GRAFT_RETURN_IF_ERROR(options.Validate());
  return options;
}

absl::StatusOr<Preprocessing> FromProto(v1::Preprocessing preprocessing) {
  switch (preprocessing) {
    case v1::PREPROCESSING_UNSPECIFIED:
    case v1::PREPROCESSING_AUTO:
      return Preprocessing::kAuto;
    case v1::PREPROCESSING_RESCALE:
      return Preprocessing::kRescale;
    case v1::PREPROCESSING_CAFFE:
      return Preprocessing::kCaffe;
    case v1::PREPROCESSING_TORCHVISION:
      return Preprocessing::kTorchvision;
    default:
      return InvalidField("preprocessing", absl::StrCat(static_cast<int>(preprocessing), " is unknown"));
  }
}

absl::StatusOr<Interpolation> FromProto(v1::Interpolation interpolation) {
  switch (interpolation) {
    case v1::INTERPOLATION_UNSPECIFIED:
    case v1::INTERPOLATION_NEAREST:
      return Interpolation::kNearest;
    case v1::INTERPOLATION_BILINEAR:
      return Interpolation::kBilinear;
    case v1::INTERPOLATION_AREA:
      return Interpolation::kArea;
    default:
      return InvalidField("interpolation", absl::StrCat(static_cast<int>(interpolation), " is unknown"));
  }
}

absl::StatusOr<Part> FromProto(v1::Part part) {
  switch (part) {
    case v1::PART_TRAIN:
      return Part::kTrain;
    case v1::PART_VALIDATION:
      return Part::kValidation;
    case v1::PART_UNSPECIFIED:
    case v1::PART_TEST:
      return Part::kTest;
    default:
      return InvalidField("part", absl::StrCat(static_cast<int>(part), " is unknown"));
  }
}

v1::Preprocessing ToProto(Preprocessing preprocessing) {
  switch (preprocessing) {
    case Preprocessing::kAuto:
      return v1::PREPROCESSING_AUTO;
    case Preprocessing::kRescale:
      return v1::PREPROCESSING_RESCALE;
    case Preprocessing::kCaffe:
      return v1::PREPROCESSING_CAFFE;
    case Preprocessing::kTorchvision:
      return v1::PREPROCESSING_TORCHVISION;
  }
  return v1::PREPROCESSING_UNSPECIFIED;
}

v1::Part ToProto(Part part) {
  switch (part) {
    case Part::kTrain:
      return v1::PART_TRAIN;
    case Part::kValidation:
      return v1::PART_VALIDATION;
    case Part::kTest:
      return v1::PART_TEST;
  }
  return v1::PART_UNSPECIFIED;
}

v1::TrainingOptions ToProto(const TrainingOptions& options) {
  v1::TrainingOptions out;
  out.set_epochs(options.epochs);
  out.set_batch_size(options.batch_size);
  out.set_learning_rate(options.learning_rate);
  out.set_optimizer(ToProto(options.optimizer));
  out.set_rho(options.rho);
  out.set_epsilon(options.epsilon);
  out.set_momentum(options.momentum);
  out.set_weight_decay(options.weight_decay);
  out.set_dropout(options.dropout);
  out.set_dense_units(options.dense_units);
  out.set_seed(options.seed);
  out.set_image_size(options.image_size);
  out.set_interpolation(ToProto(options.interpolation));
  out.set_preprocessing(ToProto(options.preprocessing));
  out.set_threads(options.threads);
  out.set_device(options.device);
  out.set_precision(options.precision == Precision::kBfloat16 ? v1::PRECISION_BFLOAT16 : v1::PRECISION_FLOAT32);
  out.set_augment_zoom(options.augmentation.zoom);
  out.set_augment_rotation(options.augmentation.rotation);
  out.set_augment_width_shift(options.augmentation.width_shift);
  out.set_augment_height_shift(options.augmentation.height_shift);
  out.set_augment_shear(options.augmentation.shear);
  out.set_augment_flip(options.augmentation.flip);
  return out;
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
      return spec.evaluate().model().name();
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
