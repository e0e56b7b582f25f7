#include "core/viz/charts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/viz/canvas.h"

namespace graft {
namespace {

constexpr double kScale = 2;  // pixels a point
constexpr double kMargin = 24;
constexpr double kTitleSize = 17;
constexpr double kLabelSize = 12.5;
constexpr double kTickSize = 11.5;

constexpr Color kInk = Rgb(0x222222);
constexpr Color kMuted = Rgb(0x5A5A5A);
constexpr Color kFrame = Rgb(0x9A9A9A);
constexpr Color kGrid = Rgb(0xE4E4E4);
constexpr Color kWhite = Rgb(0xFFFFFF);

// Colours that stay apart under the common kinds of colour blindness (Okabe and Ito's, and three of Tol's); the second
// half is drawn dashed besides.
constexpr std::array<Color, 10> kSeries = {Rgb(0x0072B2), Rgb(0xD55E00), Rgb(0x009E73), Rgb(0xCC79A7), Rgb(0xE69F00),
                                           Rgb(0x332288), Rgb(0x56B4E9), Rgb(0x882255), Rgb(0x999933), Rgb(0x777777)};

// Light to dark, so that the shades keep their order in grey print.
constexpr std::array<Color, 5> kShades = {Rgb(0xF7FBFF), Rgb(0xC6DBEF), Rgb(0x6BAED6), Rgb(0x2171B5), Rgb(0x08306B)};

// The power lifts small shares: of many classes, an error of a few percent would be as good as white.
Color Shade(double share) {
  const double position = std::pow(std::clamp(share, 0.0, 1.0), 0.7) * (kShades.size() - 1);
  const size_t below = std::min(static_cast<size_t>(position), kShades.size() - 2);
  return Mix(kShades[below], kShades[below + 1], position - static_cast<double>(below));
}

// WCAG's relative luminance.
double Luminance(const Color& color) {
  const auto linear = [](double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
  return 0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue);
}

// Ink or white, whichever has the higher contrast.
Color TextOn(const Color& background) {
  const double light = Luminance(background) + 0.05;
  return 1.05 / light > light / (Luminance(kInk) + 0.05) ? kWhite : kInk;
}

// A number as an axis shows it: as many decimals as its step has.
std::string TickText(double value, double step) {
  if (std::abs(value) < step / 2) {
    return "0";
  }
  if (std::abs(value) >= 1e6 || step < 1e-4) {
    return absl::StrFormat("%.6g", value);
  }
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  return absl::StrFormat("%.*f", decimals, value);
}

// The smallest of 1, 2, 5 times a power of ten that cuts `range` (> 0) into at most `pieces`.
double NiceStep(double range, int pieces) {
  const double raw = range / pieces;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) {
      return factor * power;
    }
  }
  return 10 * power;
}

struct Tick {
  double value;
  std::string text;
};

// Maps values to positions between two coordinates.
struct Axis {
  double low = 0, high = 1;  // low < high; > 0 when logarithmic
  double from = 0, to = 1;   // the coordinates of low and high
  bool logarithmic = false;
  std::vector<Tick> ticks;

  double At(double value) const {
    const double share = logarithmic ? (std::log10(value) - std::log10(low)) / (std::log10(high) - std::log10(low))
                                     : (value - low) / (high - low);
    return from + share * (to - from);
  }
};

void AddTicks(Axis& axis, double step) {
  const double first = std::ceil(axis.low / step - 1e-9);
  for (int i = 0; i < 100 && (first + i) * step <= axis.high + step * 1e-9; ++i) {
    axis.ticks.push_back({(first + i) * step, TickText((first + i) * step, step)});
  }
}

// An axis over all of [low, high], ending at ticks.
Axis LinearAxis(double low, double high) {
  if (low == 0 && high == 0) {
    high = 1;
  }
  // A range that is nothing next to its values would have ticks that all read the same.
  const double least = std::max(1e-12, std::max(std::abs(low), std::abs(high)) * 1e-4);
  if (high - low < least) {
    const double middle = low + (high - low) / 2;
    low = middle - least;
    high = middle + least;
  }
  const double step = NiceStep(high - low, 6);
  Axis axis;
  axis.low = std::floor(low / step + 1e-9) * step;
  axis.high = std::ceil(high / step - 1e-9) * step;
  AddTicks(axis, step);
  return axis;
}

Axis LogarithmicAxis(double low, double high) {
  const double first = std::floor(std::log10(low) + 1e-9);
  const double last = std::max(first + 1, std::ceil(std::log10(high) - 1e-9));
  Axis axis;
  axis.logarithmic = true;
  axis.low = std::pow(10, first);
  axis.high = std::pow(10, last);
  const double step = std::ceil((last - first) / 7);
  for (double power = first; power <= last; power += step) {
    axis.ticks.push_back({std::pow(10, power), absl::StrFormat("%g", std::pow(10, power))});
  }
  return axis;
}

Axis EpochAxis(int first, int last) {
  Axis axis;
  axis.low = first;
  axis.high = last;
  if (first == last) {
    axis.low -= 1;
    axis.high += 1;
    axis.ticks.push_back({static_cast<double>(first), absl::StrCat(first)});
    return axis;
  }
  AddTicks(axis, std::max(1.0, NiceStep(axis.high - axis.low, 8)));
  return axis;
}

void DrawTitle(Canvas& canvas, absl::string_view title) {
  canvas.Text({kMargin, 38}, canvas.Shorten(title, canvas.width() - 2 * kMargin, kTitleSize, true),
              {.color = kInk, .size = kTitleSize, .bold = true});
}

// Grid, frame, ticks and the two axes' names. `names_y` is how far left of the plot the y axis' name stands.
void DrawAxes(Canvas& canvas, const Rect& plot, const Axis& x, const Axis& y, absl::string_view x_name,
              absl::string_view y_name) {
  const LineStyle grid{.color = kGrid, .width = 0.8};
  const LineStyle frame{.color = kFrame, .width = 1};
  double widest = 0;
  for (const Tick& tick : x.ticks) {
    const double at = x.At(tick.value);
    canvas.Line({at, plot.y}, {at, plot.bottom()}, grid);
    canvas.Line({at, plot.bottom()}, {at, plot.bottom() + 4}, frame);
    canvas.Text(
        {at, plot.bottom() + 8}, tick.text,
        {.color = kMuted, .size = kTickSize, .horizontal = HorizontalAlign::kCenter, .vertical = VerticalAlign::kTop});
  }
  for (const Tick& tick : y.ticks) {
    const double at = y.At(tick.value);
    canvas.Line({plot.x, at}, {plot.right(), at}, grid);
    canvas.Line({plot.x - 4, at}, {plot.x, at}, frame);
    canvas.Text({plot.x - 8, at}, tick.text,
                {.color = kMuted,
                 .size = kTickSize,
                 .horizontal = HorizontalAlign::kRight,
                 .vertical = VerticalAlign::kMiddle});
    widest = std::max(widest, canvas.TextWidth(tick.text, kTickSize));
  }
  canvas.StrokeRectangle(plot, frame);
  canvas.Text(
      {plot.x + plot.width / 2, plot.bottom() + 28}, x_name,
      {.color = kInk, .size = kLabelSize, .horizontal = HorizontalAlign::kCenter, .vertical = VerticalAlign::kTop});
  canvas.Text({plot.x - 8 - widest - 12, plot.y + plot.height / 2}, y_name,
              {.color = kInk, .size = kLabelSize, .horizontal = HorizontalAlign::kCenter, .degrees = -90});
}

// ---- learning curves

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

void DrawPanel(Canvas& canvas, const Rect& plot, Panel panel, const std::vector<int>& epochs, const Series& series) {
  constexpr double kInset = 10;  // keeps the first and last markers off the frame
  Axis x = EpochAxis(epochs.front(), epochs.back());
  x.from = plot.x + kInset;
  x.to = plot.right() - kInset;
  panel.y.from = plot.bottom();
  panel.y.to = plot.y;
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
  const std::optional<size_t> best = Best(series.validation, panel.highest_is_best);
  if (best) {
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

// ---- confusion matrix

absl::Status CheckConfusion(const EvaluationReport& report) {
  const size_t k = report.labels.size();
  if (k == 0 || report.confusion.size() / k != k || report.confusion.size() % k != 0) {
    return InvalidField("report.confusion",
                        absl::StrCat("has ", report.confusion.size(), " counts for ", k, " labels"));
  }
  if (std::any_of(report.confusion.begin(), report.confusion.end(), [](int64_t count) { return count < 0; })) {
    return InvalidField("report.confusion", "has a negative count");
  }
  return absl::OkStatus();
}

std::string Percent(double share) {
  // What rounds to nothing or to everything, but isn't, says so.
  if (share > 0 && share < 0.0005) return "<0.1%";
  if (share < 1 && share > 0.9995) return ">99.9%";
  return absl::StrFormat("%.*f%%", share > 0 && share < 1 ? 1 : 0, share * 100);
}

// Sizes of the text in the cells; 0 where it is left out.
struct CellText {
  double count = 0;
  double percent = 0;
};

CellText FitCellText(const Canvas& canvas, const EvaluationReport& report, double cell) {
  constexpr double kSmallest = 6.5;
  const int64_t largest = *std::max_element(report.confusion.begin(), report.confusion.end());
  const double widest = std::max(1.0, canvas.TextWidth(absl::StrCat(largest), 1, true));  // in em
  const double room = cell * 0.86;
  CellText text;
  text.percent = std::min({0.24 * cell, 12.0, room / canvas.TextWidth("99.9%", 1)});
  text.count = std::min({0.3 * cell, 16.0, room / widest});
  if (text.percent < kSmallest || text.count < kSmallest) {
    text.percent = 0;
    text.count = std::min({0.5 * cell, 12.0, room / widest});
  }
  if (text.count < kSmallest) {
    text.count = 0;
  }
  return text;
}

void DrawColorBar(Canvas& canvas, const Rect& bar) {
  constexpr int kSteps = 200;
  for (int i = 0; i < kSteps; ++i) {
    // Each strip reaches under the next: abutting edges would shine through.
    const double top = bar.bottom() - bar.height * (i + 1) / kSteps;
    canvas.FillRectangle({bar.x, top, bar.width, std::min(bar.height / kSteps * 2, bar.bottom() - top)},
                         Shade((i + 0.5) / kSteps));
  }
  canvas.StrokeRectangle(bar, {.color = kFrame, .width = 0.8});
  for (int percent = 0; percent <= 100; percent += 20) {
    const double at = bar.bottom() - bar.height * percent / 100;
    canvas.Line({bar.right(), at}, {bar.right() + 4, at}, {.color = kFrame, .width = 0.8});
    canvas.Text({bar.right() + 8, at}, absl::StrCat(percent, "%"),
                {.color = kMuted, .size = kTickSize, .vertical = VerticalAlign::kMiddle});
  }
  canvas.Text({bar.right() + 58, bar.y + bar.height / 2}, "share of the true class's images",
              {.color = kInk, .size = kLabelSize, .horizontal = HorizontalAlign::kCenter, .degrees = -90});
}

// ---- ROC

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

absl::StatusOr<std::string> LearningCurves(absl::string_view title, const std::vector<EpochPoint>& points) {
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
  const Axis loss_axis = LossAxis(DrawableValues(loss));
  DrawPanel(canvas, {88, 112, 394, 250}, {"Accuracy", "accuracy", true, AccuracyAxis(DrawableValues(accuracy))}, epochs,
            accuracy);
  DrawPanel(canvas, {582, 112, 394, 250},
            {"Loss", loss_axis.logarithmic ? "loss (log scale)" : "loss", false, loss_axis}, epochs, loss);
  return canvas.EncodePng();
}

absl::StatusOr<std::string> ConfusionMatrix(absl::string_view title, const EvaluationReport& report) {
  GRAFT_RETURN_IF_ERROR(CheckConfusion(report));
  constexpr double kLongestName = 150;
  constexpr double kTop = 84;
  constexpr double kBarSpace = 130;  // colour bar, its ticks and name
  const size_t k = report.labels.size();
  const double cell = std::min(std::clamp(600.0 / k, 12.0, 130.0), 1200.0 / k);
  const double side = cell * k;
  const double name_size = std::clamp(0.75 * cell, 7.0, 12.5);
  const size_t name_every = std::max<size_t>(1, static_cast<size_t>(std::ceil(name_size * 1.15 / cell)));

  // Names are measured on a throw-away canvas: the picture's size depends on them.
  GRAFT_ASSIGN_OR_RETURN(Canvas ruler, Canvas::Create(1, 1, 1));
  std::vector<std::string> names;
  double widest = 0;
  for (const std::string& label : report.labels) {
    names.push_back(ruler.Shorten(label, kLongestName, name_size));
    widest = std::max(widest, ruler.TextWidth(names.back(), name_size));
  }
  const bool rotated = widest > cell - 8;
  const double names_height = rotated ? (widest + name_size) * std::sqrt(0.5) : name_size;
  // Rotated names lean out to the left below the matrix.
  const double left = std::max(kMargin + 26 + widest + 10, rotated ? kMargin + widest * std::sqrt(0.5) - cell / 2 : 0);
  const int width = static_cast<int>(std::ceil(left + side + kBarSpace));
  const int height = static_cast<int>(std::ceil(kTop + side + 10 + names_height + 38));
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas, Canvas::Create(std::max(width, 520), height, kScale));
  DrawTitle(canvas, title);
  canvas.Text({kMargin, 60},
              absl::StrFormat("accuracy %s, %d %s", Percent(report.accuracy), report.images,
                              report.images == 1 ? "image" : "images"),
              {.color = kMuted, .size = kLabelSize});

  const Rect matrix{left, kTop, side, side};
  const CellText sizes = FitCellText(canvas, report, cell);
  canvas.FillRectangle(matrix, Shade(0));
  for (size_t r = 0; r < k; ++r) {
    const auto row = report.confusion.begin() + static_cast<std::ptrdiff_t>(r * k);
    const double images = std::accumulate(row, row + static_cast<std::ptrdiff_t>(k), 0.0);
    for (size_t c = 0; c < k; ++c) {
      const int64_t count = report.confusion[r * k + c];
      const double share = images > 0 ? static_cast<double>(count) / images : 0;
      const Rect box{matrix.x + cell * c, matrix.y + cell * r, cell, cell};
      if (count > 0) {  // of many classes, most cells are empty
        canvas.FillRectangle(box, Shade(share));
      }
      if (sizes.count == 0) {
        continue;
      }
      // Empty cells step back, so that the errors stand out.
      const Color color = count == 0 ? Rgb(0xA0AAB4) : TextOn(Shade(share));
      const double middle = box.y + cell / 2;
      const double center = box.x + cell / 2;
      const bool with_percent = sizes.percent > 0 && count > 0;
      const double count_at = with_percent ? middle - sizes.percent * 0.65 : middle;
      canvas.Text({center, count_at}, absl::StrCat(count),
                  {.color = color,
                   .size = sizes.count,
                   .bold = r == c,
                   .horizontal = HorizontalAlign::kCenter,
                   .vertical = VerticalAlign::kMiddle});
      if (with_percent) {
        canvas.Text({center, middle + sizes.count * 0.65}, Percent(share),
                    {.color = color,
                     .size = sizes.percent,
                     .horizontal = HorizontalAlign::kCenter,
                     .vertical = VerticalAlign::kMiddle});
      }
    }
  }
  if (cell >= 6) {
    for (size_t i = 1; i < k; ++i) {
      const LineStyle line{.color = cell >= 30 ? kWhite : Rgb(0xDDE4EC), .width = cell >= 30 ? 1.5 : 0.5};
      canvas.Line({matrix.x + cell * i, matrix.y}, {matrix.x + cell * i, matrix.bottom()}, line);
      canvas.Line({matrix.x, matrix.y + cell * i}, {matrix.right(), matrix.y + cell * i}, line);
    }
  }
  canvas.StrokeRectangle(matrix, {.color = kFrame, .width = 1});

  for (size_t i = 0; i < k; i += name_every) {
    canvas.Text(
        {matrix.x - 8, matrix.y + cell * (i + 0.5)}, names[i],
        {.color = kInk, .size = name_size, .horizontal = HorizontalAlign::kRight, .vertical = VerticalAlign::kMiddle});
    canvas.Text({matrix.x + cell * (i + 0.5), matrix.bottom() + 8}, names[i],
                {.color = kInk,
                 .size = name_size,
                 .horizontal = rotated ? HorizontalAlign::kRight : HorizontalAlign::kCenter,
                 .vertical = VerticalAlign::kTop,
                 .degrees = rotated ? -45.0 : 0.0});
  }
  canvas.Text({matrix.x + side / 2, height - 18.0}, "predicted class",
              {.color = kInk, .size = kLabelSize, .horizontal = HorizontalAlign::kCenter});
  canvas.Text({matrix.x - widest - 20, matrix.y + side / 2}, "true class",
              {.color = kInk, .size = kLabelSize, .horizontal = HorizontalAlign::kCenter, .degrees = -90});
  DrawColorBar(canvas, {matrix.right() + 22, matrix.y, 16, side});
  return canvas.EncodePng();
}

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
