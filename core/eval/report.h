// The scores of a classifier on a labelled set of images, computed as scikit-learn computes them.
#ifndef GRAFT_CORE_EVAL_REPORT_H_
#define GRAFT_CORE_EVAL_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/eval/calibration.h"
#include "core/eval/significance.h"
#include "nlohmann/json.hpp"

namespace graft {

// One row of the classification report. The scores are in [0, 1]; one whose denominator is zero is 0
// (scikit-learn's zero_division=0).
struct ClassMetrics {
  std::string label;
  double precision = 0;  // of the images predicted as this class, the share that are
  double recall = 0;     // of the images of this class, the share predicted as it
  double f1 = 0;         // harmonic mean of the two
  int64_t support = 0;   // images of this class
};

struct RocPoint {
  double false_positive_rate = 0;
  double true_positive_rate = 0;
  double threshold = 0;  // scores >= threshold count as positive; +infinity at a curve's first point, (0, 0)
};

struct PrecisionRecallPoint {
  double recall = 0;
  double precision = 1;
  double threshold = 0;  // scores >= threshold count as positive; +infinity at a curve's first point, (0, 1)
};

// With labels=range(K) and target_names=labels given to scikit-learn, K = labels.size() >= 2.
struct EvaluationReport {
  std::vector<std::string> labels;    // class names; a class is its index here
  int64_t images = 0;                 // > 0
  double accuracy = 0;                // [0, 1], accuracy_score
  Interval accuracy_interval;         // of 95 %
  std::vector<ClassMetrics> classes;  // K rows in the order of labels
  ClassMetrics macro_average;         // plain means over all K classes; support is `images`; label "macro avg"
  ClassMetrics weighted_average;      // means weighted by support; support is `images`; label "weighted avg"
  std::vector<int64_t> confusion;     // K x K, row-major: rows are true classes, columns predicted ones

  // roc_auc_score, [0, 1]. Two classes: of the second class's probability. More: the mean of the K one-against-the-rest
  // areas (multi_class="ovr", average="macro"). Absent when a class has no images, for which it is undefined.
  std::optional<double> roc_auc;

  // log_loss, natural logarithm, in [0, 15.95]: probabilities are clipped to [eps, 1 - eps], eps = 2^-23, and
  // logarithms and their mean are float32, as scikit-learn does for float32 input.
  double log_loss = 0;

  // K curves, each one class against the rest, from (0, 0) to (1, 1) with thresholds falling: roc_curve with its points
  // in the middle of a straight stretch dropped. Empty for a class with no images or with all of them.
  std::vector<std::vector<RocPoint>> roc;

  // average_precision_score, [0, 1], for the classes that roc_auc is for. Absent where roc_auc is.
  std::optional<double> average_precision;
  // K curves, each one class against the rest, from recall 0 to 1 with thresholds falling: precision_recall_curve
  // turned round. Empty for a class with no images.
  std::vector<std::vector<PrecisionRecallPoint>> precision_recall;

  std::optional<Calibration> calibration;  // Evaluate() always says; reports of before didn't
};

// Scores `probabilities`, truth.size() x labels.size(), row-major, against the true class indices. The predicted class
// is PredictedClass() (predictions.h).
//
// INVALID_ARGUMENT, naming the field: no images; fewer than two labels, or labels that are not UTF-8 or not distinct;
// sizes that don't fit; a class index outside labels; a probability outside [0, 1] or NaN; a row whose sum is off 1 by
// more than 0.001. More than two classes: the curves rank by each row divided by its exact sum.
//
// Time O(images x K x log(images)).
absl::StatusOr<EvaluationReport> Evaluate(absl::Span<const int> truth, absl::Span<const float> probabilities,
                                          const std::vector<std::string>& labels);

// For report.json. Curves are thinned to kRocPointsInJson points, evenly along the curve; the rest is exact. A missing
// roc_auc and an infinite threshold are null.
inline constexpr size_t kRocPointsInJson = 200;
nlohmann::json ToJson(const EvaluationReport& report);

// The area under a curve by the trapezoidal rule; 0 for an empty one.
double AreaUnder(const std::vector<RocPoint>& curve);

// average_precision_score of a whole curve: the precision at each step weighted by how far recall rises; 0 for an empty
// one.
double AveragePrecision(const std::vector<PrecisionRecallPoint>& curve);

}  // namespace graft

#endif  // GRAFT_CORE_EVAL_REPORT_H_
