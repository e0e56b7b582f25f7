#include "jobs/learning_curves.h"

#include "core/viz/charts.h"

namespace graft {

absl::StatusOr<std::string> DrawLearningCurves(absl::string_view title, const std::vector<EpochMetrics>& history,
                                               int kept_epoch) {
  std::vector<EpochPoint> points;
  CurveMarks marks{.kept_epoch = kept_epoch};
  for (const EpochMetrics& epoch : history) {
    points.push_back({epoch.epoch, epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy});
    if (epoch.stage == "head") {
      marks.head_epochs = epoch.epoch;
    }
  }
  return LearningCurves(title, points, marks);
}

}  // namespace graft
