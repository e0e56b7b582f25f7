#include "core/eval/report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/eval/predictions.h"

namespace graft {
namespace {

using nlohmann::json;

constexpr double kRowSumTolerance = 1e-3;

absl::Status CheckLabels(const std::vector<std::string>& labels) {
  if (labels.size() < 2) {
    return InvalidField("labels", absl::StrCat("has ", labels.size(), "; at least 2 are needed"));
  }
  std::set<absl::string_view> seen;
  for (const std::string& label : labels) {
    if (!seen.insert(label).second) {
      return InvalidField("labels", absl::StrCat("\"", Printable(label), "\" occurs twice"));
    }
    if (!IsUtf8(label)) {
      return InvalidField("labels", absl::StrCat("label ", seen.size() - 1, " is not UTF-8"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckInput(absl::Span<const int> truth, absl::Span<const float> probabilities, size_t classes) {
  if (truth.empty()) {
    return InvalidField("truth", "has no images; at least 1 is needed");
  }
  if (probabilities.size() % classes != 0 || probabilities.size() / classes != truth.size()) {
    return InvalidField("probabilities",
                        absl::StrCat("has ", probabilities.size(), " numbers; ", truth.size(), " images of ", classes,
                                     " classes need as many as their product"));
  }
  for (size_t i = 0; i < truth.size(); ++i) {
    if (truth[i] < 0 || static_cast<size_t>(truth[i]) >= classes) {
      return InvalidField("truth",
                          absl::StrCat("image ", i, " has class ", truth[i], "; classes are 0 to ", classes - 1));
    }
    double sum = 0;
    for (size_t c = 0; c < classes; ++c) {
      const float p = probabilities[i * classes + c];
      if (!(p >= 0 && p <= 1)) {  // NaN too
        return InvalidField("probabilities", absl::StrCat("image ", i, ", class ", c, " has ", p, "; use 0 to 1"));
      }
      sum += p;
    }
    if (std::abs(sum - 1) > kRowSumTolerance) {
      return InvalidField("probabilities", absl::StrCat("image ", i, " sums to ", sum, "; a row must sum to 1"));
    }
  }
  return absl::OkStatus();
}

constexpr double ClassMetrics::*kScores[] = {&ClassMetrics::precision, &ClassMetrics::recall, &ClassMetrics::f1};

double Ratio(int64_t part, int64_t whole) { return whole == 0 ? 0 : static_cast<double>(part) / whole; }

// The part of a report that the labels and the confusion matrix, which has images, determine.
EvaluationReport FromConfusion(std::vector<std::string> labels, std::vector<int64_t> confusion) {
  EvaluationReport report;
  report.labels = std::move(labels);
  report.confusion = std::move(confusion);
  const size_t k = report.labels.size();
  report.images = std::accumulate(report.confusion.begin(), report.confusion.end(), int64_t{0});
  report.macro_average = {.label = "macro avg", .support = report.images};
  report.weighted_average = {.label = "weighted avg", .support = report.images};
  int64_t correct = 0;
  for (size_t c = 0; c < k; ++c) {
    int64_t support = 0;
    int64_t predicted = 0;
    for (size_t other = 0; other < k; ++other) {
      support += report.confusion[c * k + other];
      predicted += report.confusion[other * k + c];
    }
    const int64_t hits = report.confusion[c * k + c];
    correct += hits;
    const ClassMetrics row{.label = report.labels[c],
                           .precision = Ratio(hits, predicted),
                           .recall = Ratio(hits, support),
                           .f1 = Ratio(2 * hits, support + predicted),
                           .support = support};
    for (const auto score : kScores) {
      report.macro_average.*score += row.*score;
      report.weighted_average.*score += row.*score * static_cast<double>(support);
    }
    report.classes.push_back(row);
  }
  // Sums first, then one division, as NumPy: scores like 0.855 otherwise end up on the other side of their rounding.
  for (const auto score : kScores) {
    report.macro_average.*score /= static_cast<double>(k);
    report.weighted_average.*score /= static_cast<double>(report.images);
  }
  report.accuracy = Ratio(correct, report.images);
  report.accuracy_interval = WilsonInterval(correct, report.images);
  return report;
}

// NumPy's float32 sum: halves down to 128 numbers, and those in eight interleaved partial sums. Adding one after the
// other, or in double, gives other last digits than the reference.
float PairwiseSum(absl::Span<const float> values) {
  const size_t n = values.size();
  if (n > 128) {
    const size_t half = n / 2 - n / 2 % 8;
    return PairwiseSum(values.first(half)) + PairwiseSum(values.subspan(half));
  }
  float sum = 0;
  size_t next = 0;
  if (n >= 8) {
    float part[8] = {};
    for (; next + 8 <= n; next += 8) {
      for (size_t i = 0; i < 8; ++i) {
        part[i] += values[next + i];
      }
    }
    sum = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  }
  for (; next < n; ++next) {
    sum += values[next];
  }
  return sum;
}

double LogLoss(absl::Span<const int> truth, absl::Span<const float> probabilities, size_t classes) {
  constexpr float kEps = std::numeric_limits<float>::epsilon();
  std::vector<float> losses(truth.size());
  for (size_t i = 0; i < truth.size(); ++i) {
    const float p = std::clamp(probabilities[i * classes + truth[i]], kEps, 1 - kEps);
    losses[i] = static_cast<float>(-std::log(static_cast<double>(p)));
  }
  return PairwiseSum(losses) / static_cast<float>(losses.size());
}

struct ScoredImage {
  double score;
  bool positive;
};

// What counts as positive down to a threshold.
struct Step {
  int64_t false_positives;
  int64_t true_positives;
  double threshold;
};

// From none to all, by falling thresholds. Sorts `images`. Images of one score form one step, whatever their order.
std::vector<Step> Steps(std::vector<ScoredImage>& images) {
  std::sort(images.begin(), images.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  std::vector<Step> steps;
  steps.push_back({0, 0, std::numeric_limits<double>::infinity()});
  Step now = steps.front();
  for (size_t i = 0; i < images.size(); ++i) {
    ++(images[i].positive ? now.true_positives : now.false_positives);
    now.threshold = images[i].score;
    if (i + 1 == images.size() || images[i + 1].score != images[i].score) {
      steps.push_back(now);
    }
  }
  return steps;
}

std::vector<RocPoint> RocCurve(const std::vector<Step>& steps) {
  const Step& now = steps.back();
  if (now.true_positives == 0 || now.false_positives == 0) {
    return {};
  }
  std::vector<RocPoint> curve;
  for (size_t i = 0; i < steps.size(); ++i) {
    // As scikit-learn: the start and the first and last thresholds stay, between them a point goes when both counts
    // rise by as much after it as before it.
    const bool inner = i >= 2 && i + 1 < steps.size();
    if (inner &&
        steps[i + 1].false_positives - steps[i].false_positives ==
            steps[i].false_positives - steps[i - 1].false_positives &&
        steps[i + 1].true_positives - steps[i].true_positives ==
            steps[i].true_positives - steps[i - 1].true_positives) {
      continue;
    }
    curve.push_back({Ratio(steps[i].false_positives, now.false_positives),
                     Ratio(steps[i].true_positives, now.true_positives), steps[i].threshold});
  }
  return curve;
}

std::vector<PrecisionRecallPoint> PrecisionRecallCurve(const std::vector<Step>& steps) {
  const int64_t positives = steps.back().true_positives;
  if (positives == 0) {
    return {};
  }
  std::vector<PrecisionRecallPoint> curve;
  curve.push_back({.recall = 0, .precision = 1, .threshold = steps.front().threshold});
  for (size_t i = 1; i < steps.size(); ++i) {
    const Step& step = steps[i];
    curve.push_back({Ratio(step.true_positives, positives),
                     Ratio(step.true_positives, step.true_positives + step.false_positives), step.threshold});
  }
  return curve;
}

void AddCurves(absl::Span<const int> truth, absl::Span<const float> probabilities, EvaluationReport& report) {
  const size_t classes = report.labels.size();
  // roc_auc_score wants rows of several classes to sum to 1 in double, so whoever calls it divides by the sum first;
  // that breaks ties between float32 scores, and so moves the area.
  std::vector<double> sums(truth.size(), 1.0);
  if (classes > 2) {
    for (size_t i = 0; i < truth.size(); ++i) {
      const absl::Span<const float> row = probabilities.subspan(i * classes, classes);
      sums[i] = std::accumulate(row.begin(), row.end(), 0.0);
    }
  }
  std::vector<ScoredImage> images(truth.size());
  for (size_t c = 0; c < classes; ++c) {
    for (size_t i = 0; i < truth.size(); ++i) {
      images[i] = {probabilities[i * classes + c] / sums[i], truth[i] == static_cast<int>(c)};
    }
    const std::vector<Step> steps = Steps(images);
    report.roc.push_back(RocCurve(steps));
    report.precision_recall.push_back(PrecisionRecallCurve(steps));
  }
}

// Of two classes the second one's, of more the mean; absent when a class has no images.
template <typename Curve>
std::optional<double> OfCurves(const EvaluationReport& report, const std::vector<Curve>& curves,
                               double (*score)(const Curve&)) {
  for (const ClassMetrics& row : report.classes) {
    if (row.support == 0) {
      return std::nullopt;
    }
  }
  if (curves.size() == 2) {
    return score(curves[1]);
  }
  double sum = 0;
  for (const Curve& curve : curves) {
    sum += score(curve);
  }
  return sum / static_cast<double>(curves.size());
}

// At most kRocPointsInJson of the curve's own points, the first and last among them, at even distances along it: `way`
// is how far along the curve each of them lies.
template <typename Point>
std::vector<Point> Thin(const std::vector<Point>& curve, const std::vector<double>& way) {
  if (curve.size() <= kRocPointsInJson) {
    return curve;
  }
  std::vector<Point> thin;
  const double step = way.back() / (kRocPointsInJson - 1);
  double next = 0;
  for (size_t i = 0; i + 1 < curve.size(); ++i) {
    if (way[i] >= next) {
      thin.push_back(curve[i]);
      next = (std::floor(way[i] / step) + 1) * step;
    }
  }
  thin.push_back(curve.back());
  return thin;
}

json ToJson(const std::vector<RocPoint>& curve) {
  std::vector<double> way;
  way.reserve(curve.size());
  for (const RocPoint& point : curve) {
    way.push_back(point.false_positive_rate + point.true_positive_rate);
  }
  json false_positive = json::array();
  json true_positive = json::array();
  json thresholds = json::array();
  for (const RocPoint& point : Thin(curve, way)) {
    false_positive.push_back(point.false_positive_rate);
    true_positive.push_back(point.true_positive_rate);
    thresholds.push_back(std::isinf(point.threshold) ? json() : json(point.threshold));
  }
  return {{"false_positive_rate", false_positive}, {"true_positive_rate", true_positive}, {"threshold", thresholds}};
}

json ToJson(const std::vector<PrecisionRecallPoint>& curve) {
  std::vector<double> way(curve.size());
  for (size_t i = 1; i < curve.size(); ++i) {
    way[i] = way[i - 1] + curve[i].recall - curve[i - 1].recall + std::abs(curve[i].precision - curve[i - 1].precision);
  }
  json recall = json::array();
  json precision = json::array();
  json thresholds = json::array();
  for (const PrecisionRecallPoint& point : Thin(curve, way)) {
    recall.push_back(point.recall);
    precision.push_back(point.precision);
    thresholds.push_back(std::isinf(point.threshold) ? json() : json(point.threshold));
  }
  return {{"recall", recall}, {"precision", precision}, {"threshold", thresholds}};
}

json MetricsToJson(const ClassMetrics& row) {
  return {{"label", row.label},
          {"precision", row.precision},
          {"recall", row.recall},
          {"f1", row.f1},
          {"support", row.support}};
}

}  // namespace

absl::StatusOr<EvaluationReport> Evaluate(absl::Span<const int> truth, absl::Span<const float> probabilities,
                                          const std::vector<std::string>& labels) {
  GRAFT_RETURN_IF_ERROR(CheckLabels(labels));
  const size_t k = labels.size();
  GRAFT_RETURN_IF_ERROR(CheckInput(truth, probabilities, k));
  std::vector<int64_t> confusion(k * k);
  for (size_t i = 0; i < truth.size(); ++i) {
    ++confusion[truth[i] * k + PredictedClass(probabilities.subspan(i * k, k))];
  }
  EvaluationReport report = FromConfusion(labels, std::move(confusion));
  report.log_loss = LogLoss(truth, probabilities, k);
  AddCurves(truth, probabilities, report);
  report.roc_auc = OfCurves(report, report.roc, &AreaUnder);
  report.average_precision = OfCurves(report, report.precision_recall, &AveragePrecision);
  report.calibration = Calibrate(truth, probabilities, k);
  return report;
}

json ToJson(const EvaluationReport& report) {
  const size_t k = report.labels.size();
  json classes = json::array();
  for (const ClassMetrics& row : report.classes) {
    classes.push_back(MetricsToJson(row));
  }
  json confusion = json::array();
  for (size_t r = 0; r < k; ++r) {
    const auto row = report.confusion.begin() + r * k;
    confusion.push_back(std::vector<int64_t>(row, row + k));
  }
  json roc = json::array();
  for (const std::vector<RocPoint>& curve : report.roc) {
    roc.push_back(ToJson(curve));
  }
  json precision_recall = json::array();
  for (const std::vector<PrecisionRecallPoint>& curve : report.precision_recall) {
    precision_recall.push_back(ToJson(curve));
  }
  return {{"labels", report.labels},
          {"images", report.images},
          {"accuracy", report.accuracy},
          {"accuracy_interval", {report.accuracy_interval.low, report.accuracy_interval.high}},
          {"classes", classes},
          {"macro_average", MetricsToJson(report.macro_average)},
          {"weighted_average", MetricsToJson(report.weighted_average)},
          {"confusion", confusion},
          {"roc_auc", report.roc_auc.has_value() ? json(*report.roc_auc) : json()},
          {"log_loss", report.log_loss},
          {"roc", roc},
          {"average_precision", report.average_precision.has_value() ? json(*report.average_precision) : json()},
          {"precision_recall", precision_recall},
          {"calibration", report.calibration.has_value() ? ToJson(*report.calibration) : json()}};
}

double AreaUnder(const std::vector<RocPoint>& curve) {
  double area = 0;
  for (size_t i = 1; i < curve.size(); ++i) {
    area += (curve[i].false_positive_rate - curve[i - 1].false_positive_rate) *
            (curve[i].true_positive_rate + curve[i - 1].true_positive_rate) / 2;
  }
  return area;
}

double AveragePrecision(const std::vector<PrecisionRecallPoint>& curve) {
  double area = 0;
  for (size_t i = 1; i < curve.size(); ++i) {
    area += (curve[i].recall - curve[i - 1].recall) * curve[i].precision;
  }
  return area;
}

}  // namespace graft
