// Scoring a model on a part of a data set. The result is the Evaluation that its report.json holds, without the curves.
#ifndef GRAFT_JOBS_EVALUATE_H_
#define GRAFT_JOBS_EVALUATE_H_

#include <string>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/data/manifest.h"
#include "jobs/kind.h"
#include "jobs/run.h"

namespace graft {

struct EvaluateJobSpec {
  std::string model;
  int version = 0;
  std::string dataset;
  Part part = Part::kTest;
};
nlohmann::json ToJson(const EvaluateJobSpec& spec);
absl::StatusOr<EvaluateJobSpec> EvaluateJobSpecFromJson(const nlohmann::json& json);  // DATA_LOSS

const JobKind& EvaluateKind();
absl::StatusOr<nlohmann::json> RunEvaluate(const RunRequest& request, const JobSink& sink);

}  // namespace graft

#endif  // GRAFT_JOBS_EVALUATE_H_
