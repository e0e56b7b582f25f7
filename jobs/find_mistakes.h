// Looking for probable label errors among the images that a model was trained on. The result is the LabelMistakes that
// its mistakes.json holds, without the list.
#ifndef GRAFT_JOBS_FIND_MISTAKES_H_
#define GRAFT_JOBS_FIND_MISTAKES_H_

#include <string>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/store/label_mistakes.h"
#include "jobs/kind.h"
#include "jobs/run.h"

namespace graft {

struct FindMistakesJobSpec {
  std::string model;
  int version = 0;
  std::string dataset;
  LabelJudge judge;
};
nlohmann::json ToJson(const FindMistakesJobSpec& spec);
absl::StatusOr<FindMistakesJobSpec> FindMistakesJobSpecFromJson(const nlohmann::json& json);  // DATA_LOSS

const JobKind& FindMistakesKind();
absl::StatusOr<nlohmann::json> RunFindMistakes(const RunRequest& request, const JobSink& sink);

}  // namespace graft

#endif  // GRAFT_JOBS_FIND_MISTAKES_H_
