#include <algorithm>
#include <cmath>
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

// The mean of the curves that are not empty, at even steps of the false positive rate.
std::vector<RocPoint> MeanCurve(const std::vector<std::vector<RocPoint>>& curves) {
  constexpr int kSteps = 500;
  std::vector<RocPoint> mean(kSteps + 1);
  int used = 0;
  for (const std::vector<RocPoint>& curve : curves) {
    if (curve.empty()) {
      continue;
    }
    ++used;
    size_t next = 0;  // the first point right of x
    for (int i = 0; i <= kSteps; ++i) {
      const double x = static_cast<double>(i) / kSteps;
      while (next < curve.size() && curve[next].false_positive_rate <= x) {
        ++next;
      }
      double y = next == 0 ? 0 : curve[next - 1].true_positive_rate;
      if (next > 0 && next < curve.size()) {
        const RocPoint& a = curve[next - 1];
        const RocPoint& b = curve[next];
        y += (b.true_positive_rate - a.true_positive_rate) * (x - a.false_positive_rate) /
             (b.false_positive_rate - a.false_positive_rate);
      }
      mean[i].false_positive_rate = x;
      mean[i].true_positive_rate += y;
    }
  }
  if (used == 0) {
    return {};
  }
  for (RocPoint& point : mean) {
    point.true_positive_rate /= used;
  }
  mean.insert(mean.begin(), RocPoint{});  // curves leave (0, 0) upwards
  return mean;
}

struct RocLine {
  std::string name;
  std::string area;
  std::vector<RocPoint> curve;
  LineStyle style;
};

constexpr char kUndefined[] = "undefined";  // the area of a class without images, or with all of them

std::string AreaText(double area) { return absl::StrFormat("%.3f", area); }

std::vector<RocLine> RocLines(const EvaluationReport& report) {
  const size_t k = report.labels.size();
  std::vector<std::optional<double>> areas;
  areas.reserve(k);
  for (const std::vector<RocPoint>& curve : report.roc) {
    areas.push_back(curve.empty() ? std::nullopt : std::optional(AreaUnder(curve)));
  }
  std::vector<RocLine> lines;
  // Of two classes, the first one's is the second one's mirror image.
  for (const size_t c : k == 2 ? std::vector<size_t>{1} : ChooseCurves(areas)) {
    lines.push_back({report.labels[c], areas[c].has_value() ? AreaText(*areas[c]) : kUndefined, report.roc[c],
                     CurveStyle(lines.size(), k == 2 ? 2.2 : 1.6)});
  }
  if (k > 2) {
    double sum = 0;
    int used = 0;
    for (const std::vector<RocPoint>& curve : report.roc) {
      sum += AreaUnder(curve);
      used += curve.empty() ? 0 : 1;
    }
    const double mean = report.roc_auc.value_or(used == 0 ? 0 : sum / used);
    lines.insert(lines.begin(), {absl::StrCat("mean of ", used, " classes"), used == 0 ? kUndefined : AreaText(mean),
                                 MeanCurve(report.roc), LineStyle{.color = kInk, .width = 2.4}});
  }
  return lines;
}

// The curve's points on the canvas without those that fall onto the one before.
std::vector<Point> RocPoints(const std::vector<RocPoint>& curve, const Axis& x, const Axis& y) {
  std::vector<Point> points;
  for (const RocPoint& rates : curve) {
    const Point p{x.At(rates.false_positive_rate), y.At(rates.true_positive_rate)};
    if (points.empty() || &rates == &curve.back() ||
        std::abs(p.x - points.back().x) + std::abs(p.y - points.back().y) >= 0.2) {
      points.push_back(p);
    }
  }
  return points;
}

}  // namespace

absl::StatusOr<std::string> RocCurves(absl::string_view title, const EvaluationReport& report) {
  const size_t k = report.labels.size();
  if (k < 2 || report.roc.size() != k) {
    return InvalidField("report.roc", absl::StrCat("has ", report.roc.size(), " curves for ", k, " labels"));
  }
  for (const std::vector<RocPoint>& curve : report.roc) {
    for (const RocPoint& point : curve) {
      if (!(point.false_positive_rate >= 0 && point.false_positive_rate <= 1 && point.true_positive_rate >= 0 &&
            point.true_positive_rate <= 1)) {
        return InvalidField("report.roc", "has a rate outside 0 to 1");
      }
    }
  }
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas, Canvas::Create(k == 2 ? 580 : 860, 600, kScale));
  DrawTitle(canvas, title);
  std::string subtitle = "each class against the rest";
  if (k == 2) {
    subtitle = absl::StrCat(report.labels[1], " against ", report.labels[0]);
  } else if (k > kMostCurves) {
    subtitle += "; the mean of all and the classes with the lowest areas";
  }
  canvas.Text({kMargin, 60}, canvas.Shorten(subtitle, canvas.width() - 2 * kMargin, kLabelSize),
              {.color = kMuted, .size = kLabelSize});
  const Rect plot{88, 84, 450, 450};
  Axis x;
  AddTicks(x, 0.2);
  Axis y = x;
  Span(plot, x, y);
  DrawAxes(canvas, plot, x, y, "false positive rate", "true positive rate");
  const LineStyle chance{.color = kFrame, .width = 1.2, .dash = {2, 3}};
  canvas.Line({plot.x, plot.bottom()}, {plot.right(), plot.y}, chance);

  std::vector<RocLine> lines = RocLines(report);
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {  // the first lies on top
    canvas.Polyline(RocPoints(line->curve, x, y), line->style);
  }

  // One curve leaves the corner below the diagonal free; more have their names beside the plot.
  const Rect legend = k == 2 ? Rect{plot.right() - 232, plot.bottom() - 96, 216, 72}
                             : Rect{plot.right() + 28, plot.y, canvas.width() - kMargin - plot.right() - 28, 0};
  if (k == 2) {
    const Rect box{legend.x - 10, legend.y - 10, legend.width + 20, legend.height + 20};
    canvas.FillRectangle(box, Rgb(0xFFFFFF, 0.9));
    canvas.StrokeRectangle(box, {.color = kGrid, .width = 1});
  }
  std::vector<LegendRow> rows;
  rows.reserve(lines.size());
  for (const RocLine& line : lines) {
    rows.push_back({line.name, line.area, line.area == kUndefined ? std::nullopt : std::optional(line.style)});
  }
  if (k > kMostCurves) {
    rows.insert(rows.begin() + 1,
                {.name = absl::StrFormat("the %d lowest of %d classes:", lines.size() - 1, k), .heading = true});
  }
  rows.push_back({"chance", "0.500", chance});
  DrawLegend(canvas, {legend.x, legend.y}, legend.width, "class", "AUC", rows);
  return canvas.EncodePng();
}

}  // namespace graft
