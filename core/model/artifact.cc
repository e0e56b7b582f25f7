#include "core/model/artifact.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

// The value of `all` with this name, else DATA_LOSS.
template <typename Enum, size_t N>
absl::Status ParseName(const nlohmann::json& json, const char* key, const Enum (&all)[N],
                       absl::string_view (*name)(Enum), Enum* out) {
  const std::string text = json.at(key).get<std::string>();
  for (Enum value : all) {
    if (name(value) == text) {
      *out = value;
      return absl::OkStatus();
    }
  }
  return absl::DataLossError(absl::StrCat(key, ": '", text, "' is unknown"));
}

// JSON has no NaN; a loss that isn't finite is kept as null.
nlohmann::json Number(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr); }
double Number(const nlohmann::json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

}  // namespace

std::filesystem::path ModelFile(const std::filesystem::path& folder) { return folder / "model.json"; }
std::filesystem::path WeightsFile(const std::filesystem::path& folder) { return folder / "model.safetensors"; }

nlohmann::json ToJson(const TrainingOptions& options) {
  return {{"epochs", options.epochs},
          {"batch_size", options.batch_size},
          {"learning_rate", options.learning_rate},
          {"optimizer", std::string(OptimizerName(options.optimizer))},
          {"rho", options.rho},
          {"epsilon", options.epsilon},
          {"momentum", options.momentum},
          {"weight_decay", options.weight_decay},
          {"dropout", options.dropout},
          {"dense_units", options.dense_units},
          {"seed", options.seed},
          {"image_size", options.image_size},
          {"interpolation", std::string(InterpolationName(options.interpolation))},
          {"preprocessing", std::string(PreprocessingName(options.preprocessing))},
          {"threads", options.threads},
          {"device", options.device},
          {"precision", std::string(PrecisionName(options.precision))},
          {"augment_zoom", options.augmentation.zoom},
          {"augment_rotation", options.augmentation.rotation},
          {"augment_width_shift", options.augmentation.width_shift},
          {"augment_height_shift", options.augmentation.height_shift},
          {"augment_shear", options.augmentation.shear},
          {"augment_flip", options.augmentation.flip}};
}

absl::StatusOr<TrainingOptions> TrainingOptionsFromJson(const nlohmann::json& json) {
  TrainingOptions options;
  json.at("epochs").get_to(options.epochs);
  json.at("batch_size").get_to(options.batch_size);
  json.at("learning_rate").get_to(options.learning_rate);
  json.at("rho").get_to(options.rho);
  json.at("epsilon").get_to(options.epsilon);
  json.at("momentum").get_to(options.momentum);
  json.at("weight_decay").get_to(options.weight_decay);
  json.at("dropout").get_to(options.dropout);
  json.at("dense_units").get_to(options.dense_units);
  json.at("seed").get_to(options.seed);
  json.at("image_size").get_to(options.image_size);
  json.at("threads").get_to(options.threads);
  json.at("device").get_to(options.device);
  // Models of earlier versions don't have these.
  options.augmentation.zoom = json.value("augment_zoom", 0.0);
  options.augmentation.rotation = json.value("augment_rotation", 0.0);
  options.augmentation.width_shift = json.value("augment_width_shift", 0.0);
  options.augmentation.height_shift = json.value("augment_height_shift", 0.0);
  options.augmentation.shear = json.value("augment_shear", 0.0);
  options.augmentation.flip = json.value("augment_flip", false);
  constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kBfloat16};
  if (json.contains("precision")) {
    GRAFT_RETURN_IF_ERROR(ParseName(json, "precision", kPrecisions, &PrecisionName, &options.precision));
  }
  constexpr OptimizerKind kOptimizers[] = {OptimizerKind::kRmsprop, OptimizerKind::kSgd, OptimizerKind::kAdam,
                                           OptimizerKind::kAdamW};
  constexpr Interpolation kInterpolations[] = {Interpolation::kNearest, Interpolation::kBilinear, Interpolation::kArea};
  constexpr Preprocessing kPreprocessings[] = {Preprocessing::kAuto, Preprocessing::kRescale, Preprocessing::kCaffe,
                                               Preprocessing::kTorchvision};
  GRAFT_RETURN_IF_ERROR(ParseName(json, "optimizer", kOptimizers, &OptimizerName, &options.optimizer));
  GRAFT_RETURN_IF_ERROR(ParseName(json, "interpolation", kInterpolations, &InterpolationName, &options.interpolation));
  GRAFT_RETURN_IF_ERROR(ParseName(json, "preprocessing", kPreprocessings, &PreprocessingName, &options.preprocessing));
  return options;
}

absl::Status SaveModel(const ModelDescription& model, const std::filesystem::path& folder) {
  nlohmann::json history = nlohmann::json::array();
  for (const EpochMetrics& epoch : model.history) {
    history.push_back({{"epoch", epoch.epoch},
                       {"loss", Number(epoch.loss)},
                       {"accuracy", Number(epoch.accuracy)},
                       {"validation_loss", Number(epoch.validation_loss)},
                       {"validation_accuracy", Number(epoch.validation_accuracy)},
                       {"seconds", epoch.seconds},
                       {"input_wait_seconds", epoch.input_wait_seconds}});
  }
  return WriteSealedJson(ModelFile(folder), {{"name", model.name},
                                             {"version", model.version},
                                             {"variant", model.variant},
                                             {"labels", model.labels},
                                             {"options", ToJson(model.options)},
                                             {"dataset", model.dataset},
                                             {"dataset_fingerprint", model.dataset_fingerprint},
                                             {"trunk_fingerprint", model.trunk_fingerprint},
                                             {"job_id", model.job_id},
                                             {"create_time_ms", model.create_time_ms},
                                             {"history", history},
                                             {"training_seconds", model.training_seconds}});
}

absl::StatusOr<ModelDescription> LoadModel(const std::filesystem::path& folder) {
  GRAFT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadSealedJson(ModelFile(folder)));
  return ParseJson(ModelFile(folder).string(), [&]() -> absl::StatusOr<ModelDescription> {
    ModelDescription model;
    json.at("name").get_to(model.name);
    json.at("version").get_to(model.version);
    json.at("variant").get_to(model.variant);
    json.at("labels").get_to(model.labels);
    GRAFT_ASSIGN_OR_RETURN(model.options, TrainingOptionsFromJson(json.at("options")));
    json.at("dataset").get_to(model.dataset);
    json.at("dataset_fingerprint").get_to(model.dataset_fingerprint);
    json.at("trunk_fingerprint").get_to(model.trunk_fingerprint);
    json.at("job_id").get_to(model.job_id);
    json.at("create_time_ms").get_to(model.create_time_ms);
    for (const auto& epoch : json.at("history")) {
      model.history.push_back({epoch.at("epoch").get<int>(), Number(epoch.at("loss")), Number(epoch.at("accuracy")),
                               Number(epoch.at("validation_loss")), Number(epoch.at("validation_accuracy")),
                               epoch.at("seconds").get<double>(), epoch.value("input_wait_seconds", 0.0)});
    }
    json.at("training_seconds").get_to(model.training_seconds);
    return model;
  });
}

}  // namespace graft
