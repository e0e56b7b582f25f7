#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/viz/axes.h"
#include "core/viz/canvas.h"
#include "core/viz/charts.h"

namespace graft {
namespace {

constexpr char kUndefined[] = "undefined";  // of a class without images

bool IsShare(double value) { return value >= 0 && value <= 1; }

absl::Status CheckCurves(const EvaluationReport& report) {
  const size_t k = report.labels.size();
  if (k < 2 || report.precision_recall.size() != k) {
    return InvalidField("report.precision_recall",
                        absl::StrCat("has ", report.precision_recall.size(), " curves for ", k, " labels"));
  }
  for (const std::vector<PrecisionRecallPoint>& curve : report.precision_recall) {
    for (const PrecisionRecallPoint& point : curve) {
      if (!IsShare(point.recall) || !IsShare(point.precision)) {
        return InvalidField("report.precision_recall", "has a value outside 0 to 1");
      }
    }
  }
  return absl::OkStatus();
}

// Steps, as average precision adds them up: up to a point's recall, precision is that point's. Without points that fall
// onto the one before.
std::vector<Point> Steps(const std::vector<PrecisionRecallPoint>& curve, const Axis& x, const Axis& y) {
  std::vector<Point> points;
  const auto add = [&](Point p) {
    if (points.empty() || std::abs(p.x - points.back().x) + std::abs(p.y - points.back().y) >= 0.05) {
      points.push_back(p);
    }
  };
  for (size_t i = 1; i < curve.size(); ++i) {
    add({x.At(curve[i - 1].recall), y.At(curve[i].precision)});
    add({x.At(curve[i].recall), y.At(curve[i].precision)});
  }
  return points;
}

std::string ScoreText(double score) { return absl::StrFormat("%.3f", score); }

}  // namespace

absl::StatusOr<std::string> PrecisionRecallCurves(absl::string_view title, const EvaluationReport& report) {
  GRAFT_RETURN_IF_ERROR(CheckCurves(report));
  const size_t k = report.labels.size();
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas, Canvas::Create(860, 600, kScale));
  DrawTitle(canvas, title);
  canvas.Text({kMargin, 60},
              k > kMostCurves ? "each class against the rest; the classes with the lowest average precision"
                              : "each class against the rest",
              {.color = kMuted, .size = kLabelSize});
  const Rect plot{88, 84, 450, 450};
  Axis x;
  AddTicks(x, 0.2);
  Axis y = x;
  Span(plot, x, y);
  DrawAxes(canvas, plot, x, y, "recall", "precision");

  std::vector<std::optional<double>> scores;
  double sum = 0;
  int used = 0;
  for (const std::vector<PrecisionRecallPoint>& curve : report.precision_recall) {
    scores.push_back(curve.empty() ? std::nullopt : std::optional(AveragePrecision(curve)));
    sum += scores.back().value_or(0);
    used += curve.empty() ? 0 : 1;
  }
  const std::vector<size_t> chosen = ChooseCurves(scores);
  std::vector<LegendRow> rows;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const std::optional<double>& score = scores[chosen[i]];
    rows.push_back({.name = report.labels[chosen[i]],
                    .number = score.has_value() ? ScoreText(*score) : kUndefined,
                    .line = score.has_value() ? std::optional(CurveStyle(i, k == 2 ? 2.2 : 1.6)) : std::nullopt});
  }
  for (size_t i = chosen.size(); i-- > 0;) {  // the first lies on top
    if (rows[i].line.has_value()) {
      canvas.Polyline(Steps(report.precision_recall[chosen[i]], x, y), *rows[i].line);
    }
  }
  if (k > kMostCurves) {
    rows.insert(rows.begin(),
                {.name = absl::StrFormat("the %d lowest of %d classes:", chosen.size(), k), .heading = true});
  }
  if (k > 2) {
    rows.insert(rows.begin(), {.name = absl::StrCat("mean of ", used, " classes"),
                               .number = used == 0 ? kUndefined : ScoreText(sum / used)});
  }
  DrawLegend(canvas, {plot.right() + 28, plot.y}, canvas.width() - kMargin - plot.right() - 28, "class",
             "average precision", rows);
  return canvas.EncodePng();
}

}  // namespace graft
