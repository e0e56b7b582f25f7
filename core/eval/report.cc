#include "core/eval/report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "core/base/status.h"

namespace graft {
namespace {

using nlohmann::json;

constexpr double kRowSumTolerance = 1e-3;
constexpr double kScoreTolerance = 1e-9;

absl::Status CheckLabels(const std::vector<std::string>& labels) {
  if (labels.size() < 2) {
    return InvalidField("labels", absl::StrCat("has ", labels.size(), "; at least 2 are needed"));
  }
  std::set<absl::string_view> seen;
  for (const std::string& label : labels) {
    if (!seen.insert(label).second) {
      return InvalidField("labels", absl::StrCat("\"", label, "\" occurs twice"));
    }
    try {
      (void)json(label).dump();
    } catch (const json::exception&) {
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

int Predict(absl::Span<const float> row) {
  if (row.size() == 2) {
    return row[1] > 0.5f ? 1 : 0;
  }
  return static_cast<int>(std::max_element(row.begin(), row.end()) - row.begin());
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

// Sorts `images`. Images of one score form one step of the curve, whatever their order.
std::vector<RocPoint> RocCurve(std::vector<ScoredImage>& images) {
  std::sort(images.begin(), images.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  struct Step {
    int64_t false_positives;
    int64_t true_positives;
    double threshold;
  };
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

std::vector<std::vector<RocPoint>> RocCurves(absl::Span<const int> truth, absl::Span<const float> probabilities,
                                             size_t classes) {
  // roc_auc_score wants rows of several classes to sum to 1 in double, so whoever calls it divides by the sum first;
  // that breaks ties between float32 scores, and so moves the area.
  std::vector<double> sums(truth.size(), 1.0);
  if (classes > 2) {
    for (size_t i = 0; i < truth.size(); ++i) {
      const absl::Span<const float> row = probabilities.subspan(i * classes, classes);
      sums[i] = std::accumulate(row.begin(), row.end(), 0.0);
    }
  }
  std::vector<std::vector<RocPoint>> curves;
  std::vector<ScoredImage> images(truth.size());
  for (size_t c = 0; c < classes; ++c) {
    for (size_t i = 0; i < truth.size(); ++i) {
      images[i] = {probabilities[i * classes + c] / sums[i], truth[i] == static_cast<int>(c)};
    }
    curves.push_back(RocCurve(images));
  }
  return curves;
}

std::optional<double> RocAuc(const EvaluationReport& report) {
  for (const ClassMetrics& row : report.classes) {
    if (row.support == 0) {
      return std::nullopt;
    }
  }
  if (report.roc.size() == 2) {
    return AreaUnder(report.roc[1]);
  }
  double sum = 0;
  for (const std::vector<RocPoint>& curve : report.roc) {
    sum += AreaUnder(curve);
  }
  return sum / static_cast<double>(report.roc.size());
}

// At most kRocPointsInJson of the curve's own points, the first and last among them, at even distances along it.
std::vector<RocPoint> Thin(const std::vector<RocPoint>& curve) {
  if (curve.size() <= kRocPointsInJson) {
    return curve;
  }
  std::vector<RocPoint> thin;
  const double step = 2.0 / (kRocPointsInJson - 1);  // from (0, 0) to (1, 1) the two rates rise by 2 together
  double next = 0;
  for (size_t i = 0; i + 1 < curve.size(); ++i) {
    const double way = curve[i].false_positive_rate + curve[i].true_positive_rate;
    if (way >= next) {
      thin.push_back(curve[i]);
      next = (std::floor(way / step) + 1) * step;
    }
  }
  thin.push_back(curve.back());
  return thin;
}

json MetricsToJson(const ClassMetrics& row) {
  return {{"label", row.label},
          {"precision", row.precision},
          {"recall", row.recall},
          {"f1", row.f1},
          {"support", row.support}};
}

absl::StatusOr<const json*> Member(const json& object, const std::string& path, const char* key) {
  if (!object.is_object()) {
    return InvalidField(path, "is not an object");
  }
  const auto it = object.find(key);
  if (it == object.end()) {
    return InvalidField(absl::StrCat(path, ".", key), "is missing");
  }
  return &*it;
}

absl::StatusOr<const json*> ArrayMember(const json& object, const std::string& path, const char* key) {
  GRAFT_ASSIGN_OR_RETURN(const json* value, Member(object, path, key));
  if (!value->is_array()) {
    return InvalidField(absl::StrCat(path, ".", key), "is not an array");
  }
  return value;
}

absl::Status CheckSize(const json& array, const std::string& path, size_t size) {
  if (!array.is_array() || array.size() != size) {
    return InvalidField(path, absl::StrCat("is not an array of ", size));
  }
  return absl::OkStatus();
}

absl::StatusOr<double> Number(const json& value, const std::string& path, double low, double high) {
  if (!value.is_number()) {
    return InvalidField(path, "is not a number");
  }
  const double number = value.get<double>();
  if (!(number >= low && number <= high)) {
    return InvalidField(path, absl::StrCat(number, " is out of range; use ", low, " to ", high));
  }
  return number;
}

absl::StatusOr<int64_t> Count(const json& value, const std::string& path) {
  constexpr uint64_t kMax = uint64_t{1} << 48;  // sums of many stay far from overflow
  if (!value.is_number_unsigned() && !(value.is_number_integer() && value.get<int64_t>() >= 0)) {
    return InvalidField(path, "is not a whole number of 0 or more");
  }
  if (value.get<uint64_t>() > kMax) {
    return InvalidField(path, "is too large");
  }
  return value.get<int64_t>();
}

absl::Status ExpectScore(const json& object, const std::string& path, const char* key, double expected) {
  GRAFT_ASSIGN_OR_RETURN(const json* value, Member(object, path, key));
  GRAFT_ASSIGN_OR_RETURN(const double found, Number(*value, absl::StrCat(path, ".", key), 0, 1 + kScoreTolerance));
  if (std::abs(found - expected) > kScoreTolerance) {
    return InvalidField(absl::StrCat(path, ".", key),
                        absl::StrCat("is ", found, "; the confusion matrix gives ", expected));
  }
  return absl::OkStatus();
}

absl::Status ExpectCount(const json& object, const std::string& path, const char* key, int64_t expected) {
  GRAFT_ASSIGN_OR_RETURN(const json* value, Member(object, path, key));
  GRAFT_ASSIGN_OR_RETURN(const int64_t found, Count(*value, absl::StrCat(path, ".", key)));
  if (found != expected) {
    return InvalidField(absl::StrCat(path, ".", key),
                        absl::StrCat("is ", found, "; the confusion matrix gives ", expected));
  }
  return absl::OkStatus();
}

absl::Status ExpectMetrics(const json& object, const std::string& path, const ClassMetrics& expected) {
  GRAFT_ASSIGN_OR_RETURN(const json* label, Member(object, path, "label"));
  if (!label->is_string() || label->get_ref<const std::string&>() != expected.label) {
    return InvalidField(absl::StrCat(path, ".label"), absl::StrCat("is not \"", expected.label, "\""));
  }
  GRAFT_RETURN_IF_ERROR(ExpectScore(object, path, "precision", expected.precision));
  GRAFT_RETURN_IF_ERROR(ExpectScore(object, path, "recall", expected.recall));
  GRAFT_RETURN_IF_ERROR(ExpectScore(object, path, "f1", expected.f1));
  return ExpectCount(object, path, "support", expected.support);
}

absl::StatusOr<std::vector<std::string>> ReadLabels(const json& object) {
  GRAFT_ASSIGN_OR_RETURN(const json* array, ArrayMember(object, "report", "labels"));
  std::vector<std::string> labels;
  for (const json& label : *array) {
    if (!label.is_string()) {
      return InvalidField("report.labels", "has an entry that is not a string");
    }
    labels.push_back(label.get<std::string>());
  }
  GRAFT_RETURN_IF_ERROR(Annotate(CheckLabels(labels), "report"));
  return labels;
}

absl::StatusOr<std::vector<int64_t>> ReadConfusion(const json& object, size_t classes) {
  GRAFT_ASSIGN_OR_RETURN(const json* rows, ArrayMember(object, "report", "confusion"));
  GRAFT_RETURN_IF_ERROR(CheckSize(*rows, "report.confusion", classes));
  std::vector<int64_t> confusion;
  int64_t images = 0;
  for (size_t r = 0; r < classes; ++r) {
    const std::string path = absl::StrCat("report.confusion[", r, "]");
    GRAFT_RETURN_IF_ERROR(CheckSize((*rows)[r], path, classes));
    for (const json& cell : (*rows)[r]) {
      GRAFT_ASSIGN_OR_RETURN(const int64_t count, Count(cell, path));
      images += count;
      if (images > int64_t{1} << 48) {
        return InvalidField(path, "is too large");
      }
      confusion.push_back(count);
    }
  }
  if (images == 0) {
    return InvalidField("report.confusion", "has no images");
  }
  return confusion;
}

// One curve, stored as three arrays of one length.
absl::StatusOr<std::vector<RocPoint>> ReadCurve(const json& object, const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(const json* false_positive, ArrayMember(object, path, "false_positive_rate"));
  GRAFT_ASSIGN_OR_RETURN(const json* true_positive, ArrayMember(object, path, "true_positive_rate"));
  GRAFT_ASSIGN_OR_RETURN(const json* thresholds, ArrayMember(object, path, "threshold"));
  const size_t size = false_positive->size();
  GRAFT_RETURN_IF_ERROR(CheckSize(*true_positive, path + ".true_positive_rate", size));
  GRAFT_RETURN_IF_ERROR(CheckSize(*thresholds, path + ".threshold", size));
  std::vector<RocPoint> curve;
  for (size_t i = 0; i < size; ++i) {
    // Rates rise and thresholds fall along the curve, so the point before bounds this one.
    const RocPoint last = curve.empty() ? RocPoint{0, 0, 1} : curve.back();
    RocPoint point;
    GRAFT_ASSIGN_OR_RETURN(point.false_positive_rate,
                           Number((*false_positive)[i], path + ".false_positive_rate", last.false_positive_rate, 1));
    GRAFT_ASSIGN_OR_RETURN(point.true_positive_rate,
                           Number((*true_positive)[i], path + ".true_positive_rate", last.true_positive_rate, 1));
    const json& threshold = (*thresholds)[i];
    if (i == 0) {
      if (!threshold.is_null()) {
        return InvalidField(path + ".threshold", "does not start with null");
      }
      point.threshold = std::numeric_limits<double>::infinity();
    } else {
      GRAFT_ASSIGN_OR_RETURN(point.threshold, Number(threshold, path + ".threshold", 0, std::min(last.threshold, 1.0)));
    }
    curve.push_back(point);
  }
  if (!curve.empty() && (curve.front().false_positive_rate != 0 || curve.front().true_positive_rate != 0 ||
                         curve.back().false_positive_rate != 1 || curve.back().true_positive_rate != 1)) {
    return InvalidField(path, "does not run from (0, 0) to (1, 1)");
  }
  return curve;
}

absl::StatusOr<EvaluationReport> ReadReport(const json& object) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<std::string> labels, ReadLabels(object));
  const size_t k = labels.size();
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> confusion, ReadConfusion(object, k));
  EvaluationReport report = FromConfusion(std::move(labels), std::move(confusion));

  GRAFT_RETURN_IF_ERROR(ExpectCount(object, "report", "images", report.images));
  GRAFT_RETURN_IF_ERROR(ExpectScore(object, "report", "accuracy", report.accuracy));
  GRAFT_ASSIGN_OR_RETURN(const json* macro, Member(object, "report", "macro_average"));
  GRAFT_RETURN_IF_ERROR(ExpectMetrics(*macro, "report.macro_average", report.macro_average));
  GRAFT_ASSIGN_OR_RETURN(const json* weighted, Member(object, "report", "weighted_average"));
  GRAFT_RETURN_IF_ERROR(ExpectMetrics(*weighted, "report.weighted_average", report.weighted_average));
  GRAFT_ASSIGN_OR_RETURN(const json* classes, Member(object, "report", "classes"));
  GRAFT_RETURN_IF_ERROR(CheckSize(*classes, "report.classes", k));
  GRAFT_ASSIGN_OR_RETURN(const json* curves, Member(object, "report", "roc"));
  const bool has_curves = !curves->empty();
  GRAFT_RETURN_IF_ERROR(CheckSize(*curves, "report.roc", has_curves ? k : 0));
  bool every_class = true;
  for (size_t c = 0; c < k; ++c) {
    const int64_t support = report.classes[c].support;
    every_class = every_class && support > 0;
    GRAFT_RETURN_IF_ERROR(ExpectMetrics((*classes)[c], absl::StrCat("report.classes[", c, "]"), report.classes[c]));
    if (!has_curves) {
      continue;
    }
    const std::string path = absl::StrCat("report.roc[", c, "]");
    GRAFT_ASSIGN_OR_RETURN(std::vector<RocPoint> curve, ReadCurve((*curves)[c], path));
    if (curve.empty() != (support == 0 || support == report.images)) {
      return InvalidField(path, curve.empty() ? "is empty" : "has points, yet only one kind of image");
    }
    report.roc.push_back(std::move(curve));
  }

  GRAFT_ASSIGN_OR_RETURN(const json* auc, Member(object, "report", "roc_auc"));
  if (auc->is_null() == every_class) {
    return InvalidField("report.roc_auc", every_class ? "is null" : "is set, yet a class has no images");
  }
  if (every_class) {
    GRAFT_ASSIGN_OR_RETURN(report.roc_auc, Number(*auc, "report.roc_auc", 0, 1 + kScoreTolerance));
  }
  GRAFT_ASSIGN_OR_RETURN(const json* log_loss, Member(object, "report", "log_loss"));
  GRAFT_ASSIGN_OR_RETURN(report.log_loss, Number(*log_loss, "report.log_loss", 0, 16));
  return report;
}

// Characters of a UTF-8 string, as Python's len counts them.
size_t Length(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

std::string PadLeft(absl::string_view text, size_t width) {
  const size_t length = Length(text);
  return absl::StrCat(std::string(width > length ? width - length : 0, ' '), text);
}

std::string TextRow(const ClassMetrics& row, size_t width) {
  return absl::StrFormat("%s  %9.2f %9.2f %9.2f %9d\n", PadLeft(row.label, width), row.precision, row.recall, row.f1,
                         row.support);
}

}  // namespace

absl::StatusOr<EvaluationReport> Evaluate(absl::Span<const int> truth, absl::Span<const float> probabilities,
                                          const std::vector<std::string>& labels) {
  GRAFT_RETURN_IF_ERROR(CheckLabels(labels));
  const size_t k = labels.size();
  GRAFT_RETURN_IF_ERROR(CheckInput(truth, probabilities, k));
  std::vector<int64_t> confusion(k * k);
  for (size_t i = 0; i < truth.size(); ++i) {
    ++confusion[truth[i] * k + Predict(probabilities.subspan(i * k, k))];
  }
  EvaluationReport report = FromConfusion(labels, std::move(confusion));
  report.log_loss = LogLoss(truth, probabilities, k);
  report.roc = RocCurves(truth, probabilities, k);
  report.roc_auc = RocAuc(report);
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
  json curves = json::array();
  for (const std::vector<RocPoint>& curve : report.roc) {
    json false_positive = json::array();
    json true_positive = json::array();
    json thresholds = json::array();
    for (const RocPoint& point : Thin(curve)) {
      false_positive.push_back(point.false_positive_rate);
      true_positive.push_back(point.true_positive_rate);
      thresholds.push_back(std::isinf(point.threshold) ? json() : json(point.threshold));
    }
    curves.push_back(
        {{"false_positive_rate", false_positive}, {"true_positive_rate", true_positive}, {"threshold", thresholds}});
  }
  return {{"labels", report.labels},
          {"images", report.images},
          {"accuracy", report.accuracy},
          {"classes", classes},
          {"macro_average", MetricsToJson(report.macro_average)},
          {"weighted_average", MetricsToJson(report.weighted_average)},
          {"confusion", confusion},
          {"roc_auc", report.roc_auc.has_value() ? json(*report.roc_auc) : json()},
          {"log_loss", report.log_loss},
          {"roc", curves}};
}

absl::StatusOr<EvaluationReport> ReportFromJson(const json& object) {
  return CatchExceptions("report", [&] { return ReadReport(object); });
}

double AreaUnder(const std::vector<RocPoint>& curve) {
  double area = 0;
  for (size_t i = 1; i < curve.size(); ++i) {
    area += (curve[i].false_positive_rate - curve[i - 1].false_positive_rate) *
            (curve[i].true_positive_rate + curve[i - 1].true_positive_rate) / 2;
  }
  return area;
}

std::string ToText(const EvaluationReport& report) {
  size_t width = report.weighted_average.label.size();
  for (const std::string& label : report.labels) {
    width = std::max(width, Length(label));
  }
  std::string text =
      absl::StrFormat("%s  %9s %9s %9s %9s\n\n", std::string(width, ' '), "precision", "recall", "f1-score", "support");
  for (const ClassMetrics& row : report.classes) {
    text += TextRow(row, width);
  }
  absl::StrAppendFormat(&text, "\n%s  %9s %9s %9.2f %9d\n", PadLeft("accuracy", width), "", "", report.accuracy,
                        report.images);
  text += TextRow(report.macro_average, width);
  text += TextRow(report.weighted_average, width);

  const size_t k = report.labels.size();
  std::vector<size_t> columns(k);
  for (size_t c = 0; c < k; ++c) {
    columns[c] = Length(report.labels[c]);
    for (size_t r = 0; r < k; ++r) {
      columns[c] = std::max(columns[c], absl::StrCat(report.confusion[r * k + c]).size());
    }
  }
  absl::StrAppend(&text, "\nconfusion matrix (rows: true class, columns: predicted class)\n\n", std::string(width, ' '),
                  " ");
  for (size_t c = 0; c < k; ++c) {
    absl::StrAppend(&text, " ", PadLeft(report.labels[c], columns[c]));
  }
  text += "\n";
  for (size_t r = 0; r < k; ++r) {
    absl::StrAppend(&text, PadLeft(report.labels[r], width), " ");
    for (size_t c = 0; c < k; ++c) {
      absl::StrAppend(&text, " ", PadLeft(absl::StrCat(report.confusion[r * k + c]), columns[c]));
    }
    text += "\n";
  }
  text += "\nROC AUC   ";
  text += report.roc_auc.has_value() ? absl::StrFormat("%.4f", *report.roc_auc) : "undefined: a class has no images";
  absl::StrAppendFormat(&text, "\nlog loss  %.4f\n", report.log_loss);
  return text;
}

}  // namespace graft
