// Which trunk suits a data set best: how accurate a linear support vector machine on each one's features is,
// cross-validated on the training part, and what an image costs.
#ifndef GRAFT_JOBS_RECOMMEND_H_
#define GRAFT_JOBS_RECOMMEND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/eval/significance.h"
#include "jobs/kind.h"
#include "jobs/run.h"

namespace graft {

struct RecommendJobSpec {
  std::string dataset;
  std::vector<std::string> trunks;  // their weights are there
  int folds = 0;
  uint64_t seed = 0;
  double budget_seconds = 0;  // 0: none
};
nlohmann::json ToJson(const RecommendJobSpec& spec);
absl::StatusOr<RecommendJobSpec> RecommendJobSpecFromJson(const nlohmann::json& json);  // DATA_LOSS

// A trunk, and what was found of it.
struct TrunkCandidate {
  std::string trunk;
  std::string variant;
  double milliseconds = 0;   // one image through the trunk alone
  double seconds = 0;        // all images of the data set, as far as a few of them tell
  bool over_budget = false;  // then it wasn't tried, and what follows says nothing
  double accuracy = 0;
  Interval interval;  // its 95 %
};

struct RecommendJobResult {
  std::string job_id;
  std::string dataset;
  int64_t images = 0;                      // that were judged: the training part
  std::vector<TrunkCandidate> candidates;  // the most accurate first, those over the budget last
  std::string variant;                     // the recommended one
};
nlohmann::json ToJson(const RecommendJobResult& result);
absl::StatusOr<RecommendJobResult> RecommendJobResultFromJson(const nlohmann::json& json);  // DATA_LOSS

// Sorts them, and returns the trunk to take: of those whose accuracy is within one standard error of the best's, the
// one whose images cost least (Breiman et al., 1984: the one-standard-error rule). `images` is above 0. Null: all are
// over the budget.
const TrunkCandidate* Choose(int64_t images, std::vector<TrunkCandidate>* candidates);

const JobKind& RecommendKind();
absl::StatusOr<nlohmann::json> RunRecommend(const RunRequest& request, const JobSink& sink);

}  // namespace graft

#endif  // GRAFT_JOBS_RECOMMEND_H_
