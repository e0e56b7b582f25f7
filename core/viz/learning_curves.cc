#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/viz/axes.h"
#include "core/viz/canvas.h"
#include "core/viz/charts.h"

namespace graft {
namespace {

constexpr Color kHeadShade = Rgb(0xF0F0F0);
const LineStyle kKeptLine{.color = kSeries[2], .width = 1.6};

struct Series {
  std::vector<double> train;
  std::vector<double> validation;
};

// Values so large that their differences overflow count as gaps.
bool Drawable(double value) { return std::abs(value) <= 1e100; }

std::vector<double> DrawableValues(const Series& series) {
  std::vector<double> values;
  for (const std::vector<double>* line : {&series.train, &series.validation}) {
    std::copy_if(line->begin(), line->end(), std::back_inserter(values), Drawable);
  }
  std::sort(values.begin(), values.end());
  return values;
}

Axis AccuracyAxis(const std::vector<double>& sorted) {
  if (sorted.empty()) {
    return LinearAxis(0, 1);
  }
  double low = sorted.front();
  double high = sorted.back();
  if (low >= 0 && high <= 1) {
    // Differences below a percent are noise that a full-height panel would turn into a drama.
    const double lack = std::max(0.0, 0.05 - (high - low)) / 2;
    low = std::max(0.0, low - lack);
    high = std::min(1.0, high + lack);
  }
  return LinearAxis(low, high);
}

Axis LossAxis(const std::vector<double>& sorted) {
  if (sorted.empty()) {
    return LinearAxis(0, 1);
  }
  const double low = sorted.front();
  const double high = sorted.back();
  const double typical = sorted[sorted.size() / 2];
  if (low > 0 && high > 30 * typical) {
    return LogarithmicAxis(std::max(low, high * 1e-12), high);
  }
  // As for accuracies: a tenth of the value is the least that fills the panel.
  const double lack = std::max(0.0, 0.1 * std::abs(high) - (high - low)) / 2;
  return LinearAxis(low >= 0 && low < high / 2 ? 0 : low - lack, high + lack);
}

// The first epoch's index with the best finite value.
std::optional<size_t> Best(const std::vector<double>& values, bool highest) {
  std::optional<size_t> best;
  for (size_t i = 0; i < values.size(); ++i) {
    if (Drawable(values[i]) && (!best || (highest ? values[i] > values[*best] : values[i] < values[*best]))) {
      best = i;
    }
  }
  return best;
}

std::vector<Point> LinePoints(const std::vector<int>& epochs, const std::vector<double>& values, const Axis& x,
                              const Axis& y) {
  std::vector<Point> points;
  for (size_t i = 0; i < epochs.size(); ++i) {
    const bool gap = !Drawable(values[i]) || (y.logarithmic && values[i] <= 0);
    const double value = y.logarithmic ? std::max(values[i], y.low) : values[i];
    points.push_back({x.At(epochs[i]), gap ? std::numeric_limits<double>::quiet_NaN() : y.At(value)});
  }
  return points;
}

struct Panel {
  std::string name;
  std::string axis_name;
  bool highest_is_best;
  Axis y;
};

void DrawRing(Canvas& canvas, Point center, const Color& color) {
  canvas.FillCircle(center, 3.0, color);
  canvas.FillCircle(center, 1.5, kWhite);
}

// What the marks mean, in a line below the title.
void DrawMarksLegend(Canvas& canvas, const CurveMarks& marks) {
  constexpr double kMiddle = 55;
  double left = kMargin;
  const auto entry = [&](absl::string_view text) {
    const TextStyle style{.color = kInk, .size = kTickSize, .vertical = VerticalAlign::kMiddle};
    canvas.Text({left, kMiddle}, text, style);
    left += canvas.TextWidth(text, style.size) + 18;
  };
  if (marks.kept_epoch > 0) {
    canvas.Line({left + 5, kMiddle - 6}, {left + 5, kMiddle + 6}, kKeptLine);
    left += 15;
    entry(absl::StrFormat("epoch %d is kept", marks.kept_epoch));
  }
  if (marks.head_epochs > 0) {
    const Rect swatch{left, kMiddle - 6, 22, 12};
    canvas.FillRectangle(swatch, kHeadShade);
    canvas.StrokeRectangle(swatch, {.color = kFrame, .width = 0.8});
    left += 28;
    entry("the head alone is trained");
  }
}

void DrawPanel(Canvas& canvas, const Rect& plot, Panel panel, const std::vector<int>& epochs, const Series& series,
               const CurveMarks& marks) {
  constexpr double kInset = 10;  // keeps the first and last markers off the frame
  Axis x = EpochAxis(epochs.front(), epochs.back());
  x.from = plot.x + kInset;
  x.to = plot.right() - kInset;
  panel.y.from = plot.bottom();
  panel.y.to = plot.y;
  if (epochs.front() <= marks.head_epochs) {
    const double end = epochs.back() <= marks.head_epochs ? plot.right() : x.At(marks.head_epochs + 0.5);
    canvas.FillRectangle({plot.x, plot.y, end - plot.x, plot.height}, kHeadShade);
  }
  DrawAxes(canvas, plot, x, panel.y, "epoch", panel.axis_name);

  const bool marked = epochs.size() <= 40;
  const double width = epochs.size() <= 200 ? 1.8 : 1.1;
  const LineStyle train{.color = kSeries[0], .width = width};
  LineStyle validation{.color = kSeries[1], .width = width};
  if (epochs.size() <= 200) {  // dashes of a dense, noisy line look like noise themselves
    validation.dash = {5, 2.5};
  }
  const std::vector<Point> train_points = LinePoints(epochs, series.train, x, panel.y);
  const std::vector<Point> validation_points = LinePoints(epochs, series.validation, x, panel.y);
  if (epochs.front() <= marks.kept_epoch && marks.kept_epoch <= epochs.back()) {
    const double at = x.At(marks.kept_epoch);
    canvas.Line({at, plot.y}, {at, plot.bottom()}, kKeptLine);
  }
  const std::optional<size_t> best = Best(series.validation, panel.highest_is_best);
  if (best && epochs[*best] != marks.kept_epoch) {
    const double at = validation_points[*best].x;
    canvas.Line({at, plot.y}, {at, plot.bottom()}, {.color = Rgb(0xAAAAAA), .width = 1, .dash = {2, 2}});
  }
  canvas.BeginClip({plot.x, plot.y - 4, plot.width, plot.height + 8});
  canvas.Polyline(train_points, train);
  canvas.Polyline(validation_points, validation);
  if (marked) {
    for (const Point& p : train_points) {
      canvas.FillCircle(p, 2.2, train.color);
    }
  }
  // Rings tell the lines apart in grey print too; on dense lines a few are enough.
  const size_t stride = marked ? 1 : epochs.size() / 15;
  for (size_t i = stride / 2; i < epochs.size(); i += stride) {
    DrawRing(canvas, validation_points[i], validation.color);
  }
  canvas.EndClip();
  if (best) {
    canvas.FillCircle(validation_points[*best], 5, kWhite);
    canvas.StrokeCircle(validation_points[*best], 5, {.color = kInk, .width = 1.4});
    canvas.FillCircle(validation_points[*best], 2.6, validation.color);
  }
  if (DrawableValues(series).empty()) {
    canvas.Text({plot.x + plot.width / 2, plot.y + plot.height / 2}, "no finite values",
                {.color = kMuted, .size = kLabelSize, .horizontal = HorizontalAlign::kCenter});
  }

  // Name and legend stand above the plot, where no line can run through them.
  canvas.Text({plot.x, plot.y - 32}, panel.name, {.color = kInk, .size = 13.5, .bold = true});
  const double middle = plot.y - 14;
  double left = plot.x;
  const auto entry = [&](absl::string_view text) {
    const TextStyle style{.color = kInk, .size = kTickSize, .vertical = VerticalAlign::kMiddle};
    canvas.Text({left, middle}, text, style);
    left += canvas.TextWidth(text, style.size) + 18;
  };
  canvas.Line({left, middle}, {left + 22, middle}, {.color = train.color, .width = 1.8});
  if (marked) {
    canvas.FillCircle({left + 11, middle}, 2.2, train.color);
  }
  left += 28;
  entry("training");
  canvas.Line({left, middle}, {left + 22, middle}, {.color = validation.color, .width = 1.8, .dash = validation.dash});
  DrawRing(canvas, {left + 11, middle}, validation.color);
  left += 28;
  entry("validation");
  if (best) {
    canvas.StrokeCircle({left + 5, middle}, 5, {.color = kInk, .width = 1.4});
    canvas.FillCircle({left + 5, middle}, 2.6, validation.color);
    left += 16;
    entry(absl::StrFormat("best %.4g at epoch %d", series.validation[*best], epochs[*best]));
  }
}

}  // namespace

absl::StatusOr<std::string> LearningCurves(absl::string_view title, const std::vector<EpochPoint>& points,
                                           const CurveMarks& marks) {
  if (points.empty()) {
    return InvalidField("points", "has none; at least 1 epoch is needed");
  }
  std::vector<EpochPoint> sorted = points;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.epoch < b.epoch; });
  std::vector<int> epochs;
  Series accuracy;
  Series loss;
  for (const EpochPoint& point : sorted) {
    epochs.push_back(point.epoch);
    accuracy.train.push_back(point.accuracy);
    accuracy.validation.push_back(point.validation_accuracy);
    loss.train.push_back(point.loss);
    loss.validation.push_back(point.validation_loss);
  }
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas, Canvas::Create(1000, 420, kScale));
  DrawTitle(canvas, title);
  DrawMarksLegend(canvas, marks);
  const Axis loss_axis = LossAxis(DrawableValues(loss));
  DrawPanel(canvas, {88, 112, 394, 250}, {"Accuracy", "accuracy", true, AccuracyAxis(DrawableValues(accuracy))}, epochs,
            accuracy, marks);
  DrawPanel(canvas, {582, 112, 394, 250},
            {"Loss", loss_axis.logarithmic ? "loss (log scale)" : "loss", false, loss_axis}, epochs, loss, marks);
  return canvas.EncodePng();
}

}  // namespace graft
