// Training a new version of a model.
#ifndef GRAFT_JOBS_TRAIN_H_
#define GRAFT_JOBS_TRAIN_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/model/artifact.h"
#include "core/model/model_ref.h"
#include "core/model/options.h"
#include "jobs/kind.h"
#include "jobs/run.h"

namespace graft {

struct TrainJobSpec {
  std::string model;
  std::string dataset;
  std::string variant;
  std::string preset = "recommended";
  TrainingOptions options;  // every default filled in; of `auto` and 0 only the device is left, which the worker knows
  std::optional<ModelRef> init_from;  // with its version
};
nlohmann::json ToJson(const TrainJobSpec& spec);
absl::StatusOr<TrainJobSpec> TrainJobSpecFromJson(const nlohmann::json& json);  // DATA_LOSS

struct TrainJobResult {
  std::string model;
  int version = 0;
  std::optional<EpochMetrics>
      kept_epoch;  // the one whose weights the model has; nullopt: it was trained without epochs
  double seconds = 0;
};
nlohmann::json ToJson(const TrainJobResult& result);
absl::StatusOr<TrainJobResult> TrainJobResultFromJson(const nlohmann::json& json);  // DATA_LOSS

const JobKind& TrainKind();
absl::StatusOr<nlohmann::json> RunTrain(const RunRequest& request, const JobSink& sink);

}  // namespace graft

#endif  // GRAFT_JOBS_TRAIN_H_
