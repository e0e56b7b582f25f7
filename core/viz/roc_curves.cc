#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/viz/axes.h"
#include "core/viz/canvas.h"
#include "core/viz/charts.h"

namespace graft {
namespace {

constexpr size_t kMostCurves = 10;
constexpr size_t kWorstCurves = 5;

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
  std::vector<RocLine> lines;
  std::vector<size_t> chosen;
  if (k == 2) {
    chosen = {1};  // the first class's is its mirror image
  } else if (k <= kMostCurves) {
    chosen.resize(k);
    std::iota(chosen.begin(), chosen.end(), 0);
  } else {
    std::vector<std::pair<double, size_t>> by_area;
    for (size_t c = 0; c < k; ++c) {
      if (!report.roc[c].empty()) {
        by_area.emplace_back(AreaUnder(report.roc[c]), c);
      }
    }
    std::sort(by_area.begin(), by_area.end());
    for (size_t i = 0; i < std::min(kWorstCurves, by_area.size()); ++i) {
      chosen.push_back(by_area[i].second);
    }
  }
  for (const size_t c : chosen) {
    const size_t color = lines.size();
    const bool drawn = !report.roc[c].empty();
    LineStyle style{.color = kSeries[color], .width = k == 2 ? 2.2 : 1.6};
    if (color >= kSeries.size() / 2) {
      style.dash = {6, 2.5};
    }
    lines.push_back({report.labels[c], drawn ? AreaText(AreaUnder(report.roc[c])) : kUndefined, report.roc[c], style});
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
  x.from = plot.x;
  x.to = plot.right();
  y.from = plot.bottom();
  y.to = plot.y;
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
  const double left = legend.x;
  const double right = legend.right();
  double middle = legend.y + 10;
  const TextStyle name{.color = kInk, .size = 12, .vertical = VerticalAlign::kMiddle};
  TextStyle number = name;
  number.horizontal = HorizontalAlign::kRight;
  TextStyle heading = name;
  heading.color = kMuted;
  heading.size = kTickSize;
  const auto row = [&](const LineStyle& style, absl::string_view text, absl::string_view area) {
    if (area != kUndefined) {
      canvas.Line({left, middle}, {left + 28, middle}, style);
    }
    const double room = right - left - 38 - canvas.TextWidth(area, name.size) - 12;
    canvas.Text({left + 38, middle}, canvas.Shorten(text, room, name.size), name);
    canvas.Text({right, middle}, area, number);
    middle += 22;
  };
  canvas.Text({left, middle}, "class", heading);
  heading.horizontal = HorizontalAlign::kRight;
  canvas.Text({right, middle}, "AUC", heading);
  heading.horizontal = HorizontalAlign::kLeft;
  middle += 12;
  canvas.Line({left, middle}, {right, middle}, {.color = kGrid, .width = 1});
  middle += 16;
  for (size_t i = 0; i < lines.size(); ++i) {
    row(lines[i].style, lines[i].name, lines[i].area);
    if (i == 0 && k > kMostCurves) {
      canvas.Text({left, middle}, absl::StrFormat("the %d lowest of %d classes:", lines.size() - 1, k), heading);
      middle += 22;
    }
  }
  row(chance, "chance", "0.500");
  return canvas.EncodePng();
}

}  // namespace graft
