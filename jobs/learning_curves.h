// A training's learning curves, for its model and while it runs.
#ifndef GRAFT_JOBS_LEARNING_CURVES_H_
#define GRAFT_JOBS_LEARNING_CURVES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model/artifact.h"

namespace graft {

// A PNG, see core/viz/charts.h. `kept_epoch`: whose weights are kept, so far. INVALID_ARGUMENT without epochs.
absl::StatusOr<std::string> DrawLearningCurves(absl::string_view title, const std::vector<EpochMetrics>& history,
                                               int kept_epoch);

}  // namespace graft

#endif  // GRAFT_JOBS_LEARNING_CURVES_H_
