// A model's scores on a part of a data set: evaluations/DATASET-PART/ in the model's folder, with report.json and, of
// each image, predictions.safetensors.
#ifndef GRAFT_CORE_STORE_EVALUATION_H_
#define GRAFT_CORE_STORE_EVALUATION_H_

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/data/manifest.h"
#include "core/eval/predictions.h"
#include "core/eval/report.h"

namespace graft {

struct Evaluation {
  std::string model;
  int version = 0;
  std::string dataset;
  std::string dataset_fingerprint;
  Part part = Part::kTest;
  std::string job_id;  // that made it
  EvaluationReport report;
  // For one image alone, decoding not included, by as many threads; 0: an evaluation of before didn't measure it.
  double milliseconds_per_image = 0;
  int threads = 0;
};

nlohmann::json ToJson(const Evaluation& evaluation);
// DATA_LOSS. The report's curves aren't read: they are there for other programs, and the picture shows them.
absl::StatusOr<Evaluation> EvaluationFromJson(const nlohmann::json& json);

// Sealed. Load: NOT_FOUND or DATA_LOSS.
absl::Status SaveEvaluation(const Evaluation& evaluation, const std::filesystem::path& folder);
absl::StatusOr<Evaluation> LoadEvaluation(const std::filesystem::path& folder);

// Sealed: labels, files, true classes and probabilities. Load: NOT_FOUND or DATA_LOSS.
inline constexpr char kPredictionsFile[] = "predictions.safetensors";
absl::Status SavePredictions(const Predictions& predictions, const std::filesystem::path& folder);
absl::StatusOr<Predictions> LoadPredictions(const std::filesystem::path& folder);

// "train", "validation" or "test"; DATA_LOSS.
absl::StatusOr<Part> PartFromName(absl::string_view name);

}  // namespace graft

#endif  // GRAFT_CORE_STORE_EVALUATION_H_
