// Charts for reports: pure functions from numbers to the bytes of a PNG file, drawn at two pixels a point.
#ifndef GRAFT_CORE_VIZ_CHARTS_H_
#define GRAFT_CORE_VIZ_CHARTS_H_

#include <cstdint>
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

// What else is marked in learning curves; 0: nothing.
struct CurveMarks {
  int kept_epoch = 0;   // whose weights are kept
  int head_epochs = 0;  // the epochs up to this one trained the head alone
};

// Accuracy and loss by epoch, side by side, with the best validation epoch of each marked (the first of equals), a line
// through the kept one, and the head's epochs shaded. 2000 x 840 pixels. Points are drawn in the order of their epochs,
// whatever the order given. The loss axis is logarithmic when a few values would flatten the rest. INVALID_ARGUMENT
// without points.
absl::StatusOr<std::string> LearningCurves(absl::string_view title, const std::vector<EpochPoint>& points,
                                           const CurveMarks& marks = {});

// A heat map of the confusion matrix, shaded by the share of each row, with counts and shares where cells have the
// room. The picture grows with the number of classes, up to about 3000 pixels. INVALID_ARGUMENT for a report without
// labels or with a matrix that doesn't fit them.
absl::StatusOr<std::string> ConfusionMatrix(absl::string_view title, const EvaluationReport& report);

// ROC curves, 1200 pixels high: of two classes the second one's (1160 wide), of up to 10 all and their mean, of more
// the mean and the five with the smallest areas (1720 wide). INVALID_ARGUMENT for a report with fewer
// than two labels, curves that don't fit them, or rates outside [0, 1].
absl::StatusOr<std::string> RocCurves(absl::string_view title, const EvaluationReport& report);

// Precision-recall curves, 1720 x 1200 pixels: of up to 10 classes all, of more the five with the lowest average
// precision. INVALID_ARGUMENT for a report with fewer than two labels, curves that don't fit them, or values outside
// [0, 1].
absl::StatusOr<std::string> PrecisionRecallCurves(absl::string_view title, const EvaluationReport& report);

// A reliability diagram: in each bin of confidence the accuracy, with its 95 % interval, beside what it would be if the
// probabilities were right, and how many of the images it holds. 1160 x 1380 pixels. INVALID_ARGUMENT for a report
// without calibration, or with a share outside [0, 1].
absl::StatusOr<std::string> ReliabilityDiagram(absl::string_view title, const EvaluationReport& report);

// A photograph that was taken for another class.
struct Mistake {
  std::string file;
  std::string truth;
  std::string predicted;
  double probability = 0;        // of the predicted class, in [0, 1]
  double truth_probability = 0;  // of the true one
  // Height x width x 3, RGB; 0 x 0: it can't be shown.
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;
};

// The most mistakes that a sheet shows, and the pixels that a photograph's longer side has there.
inline constexpr size_t kMostMistakes = 25;
inline constexpr int kMistakeSide = 300;

// A contact sheet of mistakes, in the order given, `wrong` of `images` in all. 1724 pixels wide. INVALID_ARGUMENT for
// more than kMostMistakes, or pixels that don't fit a photograph's size.
absl::StatusOr<std::string> MistakeSheet(absl::string_view title, const std::vector<Mistake>& mistakes, int64_t wrong,
                                         int64_t images);

// The same of photographs whose label is probably wrong, `suspected` of `images` in all: a Mistake's `truth` is the
// label, `predicted` what is suggested. INVALID_ARGUMENT for more than kMostSuspects.
inline constexpr size_t kMostSuspects = 50;
absl::StatusOr<std::string> SuspectSheet(absl::string_view title, const std::vector<Mistake>& mistakes,
                                         int64_t suspected, int64_t images);

// One model of a comparison.
struct ComparedModel {
  std::string name;
  double accuracy = 0;  // [0, 1]
  Interval interval;    // its 95 %
};

// A bar for each model's accuracy, from the top in the order given, with its interval. 1600 pixels wide, higher with
// each model. INVALID_ARGUMENT: none or more than kMostCompared, or shares outside [0, 1].
inline constexpr size_t kMostCompared = 50;
absl::StatusOr<std::string> ComparisonBars(absl::string_view title, const std::vector<ComparedModel>& models);

// A model by what it is worth and what it costs.
struct TimedModel {
  std::string name;
  double accuracy = 0;  // [0, 1]
  Interval interval;    // its 95 %
  double milliseconds = 0;
  bool chosen = false;  // stands out
};

// Accuracy by milliseconds an image, on a logarithmic axis. 1600 x 960 pixels. INVALID_ARGUMENT: none or more than
// kMostTimed, shares outside [0, 1], or times that aren't above 0.
inline constexpr size_t kMostTimed = 50;
absl::StatusOr<std::string> AccuracyByTime(absl::string_view title, const std::vector<TimedModel>& models);

}  // namespace graft

#endif  // GRAFT_CORE_VIZ_CHARTS_H_
