// Charts for reports: pure functions from numbers to the bytes of a PNG file, drawn at two pixels a point.
#ifndef GRAFT_CORE_VIZ_CHARTS_H_
#define GRAFT_CORE_VIZ_CHARTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/eval/report.h"

namespace graft {

// One epoch's figures. Accuracies are in [0, 1]; a value that is not finite is a gap in its line.
struct EpochPoint {
  int epoch = 0;
  double loss = 0;
  double accuracy = 0;
  double validation_loss = 0;
  double validation_accuracy = 0;
};

// Accuracy and loss by epoch, side by side, with the best validation epoch of each marked (the first of equals).
// 2000 x 840 pixels. Points are drawn in the order of their epochs, whatever the order given. The loss axis is
// logarithmic when a few values would flatten the rest. INVALID_ARGUMENT without points.
absl::StatusOr<std::string> LearningCurves(absl::string_view title, const std::vector<EpochPoint>& points);

// A heat map of the confusion matrix, shaded by the share of each row, with counts and shares where cells have the
// room. The picture grows with the number of classes, up to about 3000 pixels. INVALID_ARGUMENT for a report without
// labels or with a matrix that doesn't fit them.
absl::StatusOr<std::string> ConfusionMatrix(absl::string_view title, const EvaluationReport& report);

// ROC curves, 1200 pixels high: of two classes the second one's (1160 wide), of up to 10 all and their mean, of more
// the mean and the five with the smallest areas (1720 wide). INVALID_ARGUMENT for a report with fewer
// than two labels, curves that don't fit them, or rates outside [0, 1].
absl::StatusOr<std::string> RocCurves(absl::string_view title, const EvaluationReport& report);

}  // namespace graft

#endif  // GRAFT_CORE_VIZ_CHARTS_H_
