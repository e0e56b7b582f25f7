// The worker's registry of kinds.
#include "jobs/run.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/nn/runtime.h"
#include "jobs/evaluate.h"
#include "jobs/extract_features.h"
#include "jobs/find_mistakes.h"
#include "jobs/recommend.h"
#include "jobs/split.h"
#include "jobs/train.h"

namespace graft {
namespace {

struct Runner {
  absl::string_view kind;
  absl::StatusOr<nlohmann::json> (*run)(const RunRequest& request, const JobSink& sink);
};
constexpr Runner kRunners[] = {
    {"split", &RunSplit},
    {"train", &RunTrain},
    {"extract_features", &RunExtractFeatures},
    {"evaluate", &RunEvaluate},
    {"find_mistakes", &RunFindMistakes},
    {"recommend", &RunRecommend},
};

}  // namespace

absl::StatusOr<nlohmann::json> RunJob(const RunRequest& request, const JobSink& sink) {
  for (const Runner& runner : kRunners) {
    if (runner.kind == request.kind) {
      GRAFT_RETURN_IF_ERROR(SetConvolutionAlgorithm(request.settings.convolution, Purpose::kJob));
      return CatchExceptions("internal error", [&] { return runner.run(request, sink); });
    }
  }
  return absl::UnimplementedError(absl::StrCat("this graft-worker doesn't know jobs of the kind '",
                                               Printable(request.kind, 100), "'; is it older than graftd?"));
}

}  // namespace graft
