// A trained model on disk: models/NAME/VERSION/ with model.json (what it is), model.safetensors (the tensors that
// differ from the trunk's) and pictures.
#ifndef GRAFT_CORE_MODEL_ARTIFACT_H_
#define GRAFT_CORE_MODEL_ARTIFACT_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/model/variants.h"

namespace graft {

// One pass over the training part, and its score on the validation part.
struct EpochMetrics {
  int epoch = 0;  // from 1
  double loss = 0;
  double accuracy = 0;
  double validation_loss = 0;
  double validation_accuracy = 0;
  double seconds = 0;
  double input_wait_seconds = 0;  // of these: for images to be gathered, augmented and prepared
  double learning_rate = 0;       // of its last step
  std::string stage = {};         // "head": only the head was trained, on features; empty: all that is to be
};

// What a model was made with, beside what its options and fingerprints say. See v1.Provenance.
struct Provenance {
  std::string graft;
  std::string libtorch;
  std::string instruction_set;
  std::string convolution;
  std::string processor;
};

struct ModelDescription {
  std::string name;
  int version = 0;
  std::string variant;
  std::vector<std::string> labels;  // sorted
  TrainingOptions options;          // every default filled in, `auto` resolved
  std::string dataset;
  std::string dataset_fingerprint;
  std::string trunk_fingerprint;  // empty without a trunk
  std::string job_id;
  int64_t create_time_ms = 0;  // since 1970, UTC
  std::vector<EpochMetrics> history;
  int kept_epoch = 0;  // the one in history whose weights these are
  double training_seconds = 0;
  double temperature = 1;  // see ScaleByTemperature
  Provenance made_with;
};

std::filesystem::path ModelFile(const std::filesystem::path& folder);
std::filesystem::path WeightsFile(const std::filesystem::path& folder);

nlohmann::json ToJson(const EpochMetrics& epoch);
// Throws nlohmann's exceptions, as json.at() does: for use within ParseJson.
EpochMetrics EpochMetricsFromJson(const nlohmann::json& json);

nlohmann::json ToJson(const TrainingOptions& options);
// An option that isn't there has its default, which is what everybody had before there was one. DATA_LOSS that names
// the option: one is unknown, of another type or may not have its value.
absl::StatusOr<TrainingOptions> TrainingOptionsFromJson(const nlohmann::json& json);

absl::Status SaveModel(const ModelDescription& model, const std::filesystem::path& folder);
// NOT_FOUND or DATA_LOSS.
absl::StatusOr<ModelDescription> LoadModel(const std::filesystem::path& folder);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_ARTIFACT_H_
