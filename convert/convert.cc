#include "convert/convert.h"

#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

void ToProto(const ClassMetrics& metrics, v1::ClassMetrics* out) {
  out->set_label(metrics.label);
  out->set_precision(metrics.precision);
  out->set_recall(metrics.recall);
  out->set_f1(metrics.f1);
  out->set_support(metrics.support);
}

// Numbers or shares of the three parts.
template <typename Parts, typename Message>
void FillParts(const Parts& parts, Message* out) {
  out->set_train(parts.train);
  out->set_validation(parts.validation);
  out->set_test(parts.test);
}

absl::StatusOr<std::vector<LayerInfo>> Layers(const ModelDescription& model) {
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(model.variant));
  return DescribeVariant(*variant, model.options, static_cast<int64_t>(model.labels.size()));
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

absl::StatusOr<ModelRef> FromProto(const v1::ModelRef& ref) {
  if (ref.has_version() && ref.version() < 1) {
    return InvalidField("model.version", absl::StrCat(ref.version(),
                                                      " is out of range; use 1 or more, or leave it out "
                                                      "for the newest"));
  }
  if (ref.has_alias() && ref.alias().empty()) {
    return InvalidField("model.alias", "empty; give a version, an alias, or neither for the newest");
  }
  return ModelRef{ref.name(), ref.version(), ref.alias()};
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
  out.set_learning_rate(epoch.learning_rate);
  out.set_stage(epoch.stage);
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
  out.set_accuracy_low(report.accuracy_interval.low);
  out.set_accuracy_high(report.accuracy_interval.high);
  if (report.average_precision.has_value()) {
    out.set_average_precision(*report.average_precision);
  }
  if (report.calibration.has_value()) {
    out.mutable_calibration()->set_expected_error(report.calibration->expected_error);
    out.mutable_calibration()->set_brier(report.calibration->brier);
    for (const ReliabilityBin& bin : report.calibration->bins) {
      v1::ReliabilityBin* to = out.mutable_calibration()->add_bins();
      to->set_low(bin.low);
      to->set_high(bin.high);
      to->set_images(bin.images);
      to->set_confidence(bin.confidence);
      to->set_accuracy(bin.accuracy);
    }
  }
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
  *out.mutable_defaults() = ToProto(variant.recommended);
  *out.mutable_reference() = ToProto(variant.reference);
  out.set_trunk_in_network(variant.trunk_use == TrunkUse::kNetwork);
  if (variant.trunk != nullptr) {
    out.set_trunk(std::string(variant.trunk->name));
  }
  const auto layers = DescribeVariant(variant, variant.reference, 2);  // OK for every row: a test holds the table to it
  for (const LayerInfo& layer : layers.value()) {
    *out.add_layers() = ToProto(layer);
  }
  out.set_parameters(variant.parameters);
  out.set_trainable_parameters(variant.trainable_parameters);
  for (const OptionField& field : TrainingOptionFields()) {
    *out.add_options() = ToProto(field, variant);
  }
  return out;
}

v1::Trunk ToProto(const TrunkInfo& trunk, const std::filesystem::path& weights_dir) {
  v1::Trunk out;
  out.set_name(std::string(trunk.name));
  out.set_title(std::string(trunk.title));
  out.set_parameters(trunk.parameters);
  out.set_multiply_adds(MultiplyAdds(trunk, trunk.image_size));
  out.set_image_size(trunk.image_size);
  out.set_preprocessing(ToProto(trunk.preprocessing));
  for (const int64_t n : FeatureShape(trunk, trunk.image_size)) {
    out.add_feature_shape(n);
  }
  for (const TrunkBlock& block : trunk.blocks) {
    out.add_blocks(block.name);
  }
  out.set_paper(std::string(trunk.paper));
  out.set_licence(std::string(trunk.licence));
  out.set_source(std::string(trunk.source));
  const absl::Status there = CheckTrunkWeights(weights_dir, trunk.name);
  out.set_like(trunk.like == nullptr ? "" : std::string(trunk.like->name));
  out.set_available(there.ok());
  out.set_hint(std::string(there.message()));
  for (const Variant& variant : Variants()) {
    if (variant.trunk == &trunk) {
      out.add_variants(variant.name);
    }
  }
  return out;
}

v1::SplitSpec ToProto(const SplitRecipe& recipe, const std::string& dataset) {
  v1::SplitSpec out;
  out.set_dataset(dataset);
  if (const auto* folder = std::get_if<AllowedFolder>(&recipe.source)) {
    out.set_folder(folder->path().string());
  } else {
    out.set_upload_id(recipe.upload_id());
  }
  out.set_label_rule(ToProto(recipe.label_rule));
  if (const auto* counts = std::get_if<SplitCounts>(&recipe.sizes)) {
    FillParts(*counts, out.mutable_counts());
  } else {
    FillParts(std::get<SplitFractions>(recipe.sizes), out.mutable_fractions());
  }
  out.set_seed(recipe.seed);
  out.set_copy_mode(recipe.hard_link ? v1::COPY_MODE_HARD_LINK : v1::COPY_MODE_COPY);
  return out;
}

v1::EvaluateResult ToProto(const Evaluation& evaluation) {
  v1::EvaluateResult out;
  out.set_model(evaluation.model);
  out.set_version(evaluation.version);
  out.set_dataset(evaluation.dataset);
  out.set_part(ToProto(evaluation.part));
  *out.mutable_report() = ToProto(evaluation.report);
  out.set_dataset_fingerprint(evaluation.dataset_fingerprint);
  out.set_milliseconds_per_image(evaluation.milliseconds_per_image);
  out.set_threads(evaluation.threads);
  return out;
}

v1::FindMistakesResult ToProto(const LabelMistakes& mistakes) {
  v1::FindMistakesResult out;
  out.set_model(mistakes.model);
  out.set_version(mistakes.version);
  out.set_dataset(mistakes.dataset);
  out.set_dataset_fingerprint(mistakes.dataset_fingerprint);
  out.set_trunk(mistakes.judge.trunk);
  out.set_preprocessing(ToProto(mistakes.judge.preprocessing));
  out.set_interpolation(ToProto(mistakes.judge.interpolation));
  out.set_image_size(mistakes.judge.image_size);
  out.set_folds(mistakes.judge.folds);
  out.set_seed(mistakes.judge.seed);
  out.set_images(mistakes.images);
  out.set_accuracy(mistakes.accuracy);
  for (const LabelMistakes::Class& of : mistakes.classes) {
    v1::SuspectedClass* message = out.add_classes();
    message->set_label(of.label);
    message->set_images(of.images);
    message->set_suspected(of.suspected);
    message->set_threshold(of.threshold);
  }
  out.set_suspected(mistakes.suspected);
  for (const LabelMistake& mistake : mistakes.mistakes) {
    v1::SuspectedLabel* message = out.add_mistakes();
    message->set_path(mistake.file);
    message->set_label(mistake.label);
    message->set_suggested_label(mistake.suggested);
    message->set_probability(mistake.probability);
    message->set_suggested_probability(mistake.suggested_probability);
  }
  return out;
}

v1::Dataset ToProto(const DatasetEntry& entry) {
  v1::Dataset out;
  const DatasetInfo& info = entry.info;
  out.set_name(info.name);
  out.set_folder(entry.folder.string());
  if (!entry.damaged.empty()) {
    out.set_damaged(entry.damaged);
    return out;
  }
  *out.mutable_create_time() = ToTimestamp(info.create_time_ms);
  *out.mutable_spec() = ToProto(info.recipe, info.name);
  for (const DatasetInfo::Class& of : info.classes) {
    v1::ClassCount* count = out.add_classes();
    count->set_label(of.label);
    FillParts(of, count);
  }
  for (const SkippedEntry& skipped : info.skipped) {
    v1::SkippedFile* file = out.add_skipped();
    file->set_path(skipped.path);
    file->set_reason(skipped.reason);
  }
  out.set_skipped_total(info.skipped_total);
  out.set_unused(info.unused);
  out.set_size_bytes(info.size_bytes);
  out.set_fingerprint(info.fingerprint);
  return out;
}

v1::DatasetQuality ToProto(const DatasetQuality& quality, const std::string& dataset) {
  v1::DatasetQuality out;
  for (const std::string& warning : QualityWarnings(quality, dataset)) {
    out.add_warnings(warning);
  }
  const auto set_image = [](const DatasetQuality::Image& image, v1::NearDuplicates::Image* message) {
    message->set_path(image.path);
    message->set_label(image.label);
    message->set_part(ToProto(image.part));
  };
  for (const DatasetQuality::Pair& pair : quality.pairs) {
    v1::NearDuplicates* const near = out.add_near_duplicates();
    set_image(pair.first, near->mutable_first());
    set_image(pair.second, near->mutable_second());
    near->set_hash_bits(pair.bits);
    near->set_same_pixels(pair.same_pixels);
  }
  out.set_pairs_across_parts(quality.crossing_pairs);
  out.set_pairs_within_parts(quality.pairs_in_a_part);
  out.set_pairs_cut_short(quality.pairs_cut_short);
  out.set_exact_copies(quality.exact_copies);
  out.set_conflicting_copies(quality.conflicting);
  out.set_unreadable(quality.unreadable);
  out.set_imbalance(quality.imbalance);
  out.set_largest_class(quality.largest);
  out.set_smallest_class(quality.smallest);
  return out;
}

v1::Model ToProto(const ModelEntry& entry) {
  v1::Model out;
  const ModelDescription& model = entry.description;
  out.set_name(model.name);
  out.set_version(model.version);
  out.set_folder(entry.folder.string());
  out.set_size_bytes(entry.size_bytes);
  out.mutable_pictures()->Assign(entry.pictures.begin(), entry.pictures.end());
  out.set_damaged(entry.damaged);
  for (const Evaluation& evaluation : entry.evaluations) {
    *out.add_evaluations() = ToProto(evaluation);
  }
  if (model.variant.empty()) {
    return out;  // its description can't be read
  }
  *out.mutable_create_time() = ToTimestamp(model.create_time_ms);
  out.set_variant(model.variant);
  out.mutable_labels()->Assign(model.labels.begin(), model.labels.end());
  out.set_dataset(model.dataset);
  out.set_dataset_fingerprint(model.dataset_fingerprint);
  out.set_job_id(model.job_id);
  *out.mutable_options() = ToProto(model.options);
  for (const EpochMetrics& epoch : model.history) {
    *out.add_history() = ToProto(epoch);
  }
  out.set_kept_epoch(model.kept_epoch);
  out.set_training_seconds(model.training_seconds);
  out.set_temperature(model.temperature);
  v1::Provenance* const made_with = out.mutable_made_with();
  made_with->set_graft(model.made_with.graft);
  made_with->set_libtorch(model.made_with.libtorch);
  made_with->set_instruction_set(model.made_with.instruction_set);
  made_with->set_convolution(model.made_with.convolution);
  made_with->set_processor(model.made_with.processor);
  made_with->set_trunk_fingerprint(model.trunk_fingerprint);
  const absl::StatusOr<std::vector<LayerInfo>> layers = Layers(model);
  if (!layers.ok()) {
    if (entry.damaged.empty()) {
      out.set_damaged(std::string(layers.status().message()));
    }
    return out;
  }
  int64_t parameters = 0;
  int64_t trainable = 0;
  for (const LayerInfo& layer : *layers) {
    *out.add_layers() = ToProto(layer);
    parameters += layer.parameters;
    trainable += layer.trainable ? layer.parameters : 0;
  }
  out.set_parameters(parameters);
  out.set_trainable_parameters(trainable);
  return out;
}

}  // namespace graft
