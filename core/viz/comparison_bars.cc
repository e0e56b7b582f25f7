#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/viz/axes.h"
#include "core/viz/canvas.h"
#include "core/viz/charts.h"

namespace graft {
namespace {

// The name, cut before its version where it is too long: that is what tells two of a model apart.
std::string ShownName(const Canvas& canvas, const std::string& name) {
  constexpr double kLongest = 200;
  const size_t at = std::min(name.rfind('@'), name.size());
  const std::string version = canvas.Shorten(name.substr(at), kLongest / 2, kLabelSize);
  return absl::StrCat(canvas.Shorten(name.substr(0, at), kLongest - canvas.TextWidth(version, kLabelSize), kLabelSize),
                      version);
}

}  // namespace

absl::StatusOr<std::string> ComparisonBars(absl::string_view title, const std::vector<ComparedModel>& models) {
  if (models.empty() || models.size() > kMostCompared) {
    return InvalidField("models", absl::StrCat("there are ", models.size(), "; use 1 to ", kMostCompared));
  }
  double lowest = 1;
  for (const ComparedModel& model : models) {
    if (!(model.interval.low >= 0 && model.interval.low <= model.accuracy && model.accuracy <= model.interval.high &&
          model.interval.high <= 1)) {
      return InvalidField("models", absl::StrCat(model.name, " has an accuracy outside its interval, or of 0 to 1"));
    }
    lowest = std::min(lowest, model.interval.low);
  }
  constexpr double kRow = 34;
  constexpr double kBar = 18;
  constexpr double kNumbers = 170;  // what stands right of the bars
  constexpr int kWidth = 800;
  GRAFT_ASSIGN_OR_RETURN(Canvas ruler, Canvas::Create(1, 1, 1));
  double widest = 0;
  for (const ComparedModel& model : models) {
    widest = std::max(widest, ruler.TextWidth(ShownName(ruler, model.name), kLabelSize));
  }
  const Rect plot{kMargin + widest + 14, 84, kWidth - kMargin - kNumbers - (kMargin + widest + 14),
                  kRow * static_cast<double>(models.size()) + 10};
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas, Canvas::Create(kWidth, static_cast<int>(plot.bottom()) + 62, kScale));
  DrawTitle(canvas, title);

  // From a round number below the lowest interval: bars from 0 would all look the same. The subtitle says so.
  Axis x;
  x.low = std::min(0.9, std::floor(lowest * 10) / 10);
  x.low = std::max(0.0, x.low);
  AddTicks(x, x.low >= 0.8 ? 0.05 : x.low >= 0.5 ? 0.1 : 0.2);
  x.from = plot.x;
  x.to = plot.right();
  canvas.Text({kMargin, 60},
              x.low > 0 ? absl::StrFormat("accuracy with its 95 %% interval; the axis begins at %g", x.low)
                        : "accuracy with its 95 % interval",
              {.color = kMuted, .size = kLabelSize});
  DrawAxes(canvas, plot, x, Axis(), "accuracy", "");
  for (size_t i = 0; i < models.size(); ++i) {
    const ComparedModel& model = models[i];
    const double middle = plot.y + 5 + kRow * (static_cast<double>(i) + 0.5);
    canvas.Text(
        {plot.x - 8, middle}, ShownName(canvas, model.name),
        {.color = kInk, .size = kLabelSize, .horizontal = HorizontalAlign::kRight, .vertical = VerticalAlign::kMiddle});
    canvas.FillRectangle({plot.x, middle - kBar / 2, x.At(model.accuracy) - plot.x, kBar},
                         Mix(kWhite, kSeries[0], i == 0 ? 0.9 : 0.55));
    const LineStyle whisker{.color = kInk, .width = 1.3};
    canvas.Line({x.At(model.interval.low), middle}, {x.At(model.interval.high), middle}, whisker);
    for (const double end : {model.interval.low, model.interval.high}) {
      canvas.Line({x.At(end), middle - 4}, {x.At(end), middle + 4}, whisker);
    }
    canvas.Text({plot.right() + 12, middle}, absl::StrFormat("%.4f", model.accuracy),
                {.color = kInk, .size = kLabelSize, .bold = true, .vertical = VerticalAlign::kMiddle});
    canvas.Text({plot.right() + 66, middle}, absl::StrFormat("%.4f to %.4f", model.interval.low, model.interval.high),
                {.color = kMuted, .size = kTickSize, .vertical = VerticalAlign::kMiddle});
  }
  canvas.StrokeRectangle(plot, {.color = kFrame, .width = 1});
  return canvas.EncodePng();
}

}  // namespace graft
