#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/viz/axes.h"
#include "core/viz/canvas.h"
#include "core/viz/charts.h"

namespace graft {

absl::StatusOr<std::string> AccuracyByTime(absl::string_view title, const std::vector<TimedModel>& models) {
  if (models.empty() || models.size() > kMostTimed) {
    return InvalidField("models", absl::StrCat("there are ", models.size(), "; use 1 to ", kMostTimed));
  }
  double lowest = 1;
  double quickest = models[0].milliseconds;
  double slowest = models[0].milliseconds;
  for (const TimedModel& model : models) {
    if (!(model.interval.low >= 0 && model.interval.low <= model.accuracy && model.accuracy <= model.interval.high &&
          model.interval.high <= 1)) {
      return InvalidField("models", absl::StrCat(model.name, " has an accuracy outside its interval, or of 0 to 1"));
    }
    if (!(model.milliseconds > 0 && std::isfinite(model.milliseconds))) {
      return InvalidField("models", absl::StrCat(model.name, " takes ", model.milliseconds, " ms; use more than 0"));
    }
    lowest = std::min(lowest, model.interval.low);
    quickest = std::min(quickest, model.milliseconds);
    slowest = std::max(slowest, model.milliseconds);
  }
  constexpr int kWidth = 800;
  constexpr int kHeight = 480;
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas, Canvas::Create(kWidth, kHeight, kScale));
  DrawTitle(canvas, title);
  const Rect plot{kMargin + 58, 84, kWidth - 2 * kMargin - 58, kHeight - 84 - 62};
  Axis x = LogarithmicAxis(quickest / 1.5, slowest * 1.5);
  // From a round number below the lowest interval: the differences are what is looked at.
  const double step = lowest >= 0.95 ? 0.01 : lowest >= 0.8 ? 0.05 : lowest >= 0.5 ? 0.1 : 0.2;
  Axis y;
  y.low = std::max(0.0, std::floor(lowest / step - 0.25) * step);
  y.high = 1;
  AddTicks(y, step);
  Span(plot, x, y);
  canvas.Text({kMargin, 60}, "cross-validated accuracy with its 95 % interval; left and up is better",
              {.color = kMuted, .size = kLabelSize});
  DrawAxes(canvas, plot, x, y, "milliseconds an image, one at a time", "accuracy");
  for (const TimedModel& model : models) {
    const Point at{x.At(model.milliseconds), y.At(model.accuracy)};
    const Color color = model.chosen ? kSeries[1] : kSeries[0];
    const LineStyle whisker{.color = color, .width = 1.3};
    canvas.Line({at.x, y.At(model.interval.low)}, {at.x, y.At(model.interval.high)}, whisker);
    for (const double end : {model.interval.low, model.interval.high}) {
      canvas.Line({at.x - 4, y.At(end)}, {at.x + 4, y.At(end)}, whisker);
    }
    const double half = model.chosen ? 6 : 4.5;
    canvas.FillRectangle({at.x - half, at.y - half, 2 * half, 2 * half}, color);
    const std::string text = absl::StrFormat("%s %.4f", canvas.Shorten(model.name, 220, kLabelSize), model.accuracy);
    // Below its whisker, where it crosses no other one of about the same accuracy.
    const double room = canvas.TextWidth(text, kLabelSize) / 2 + 10;
    canvas.Text({std::clamp(at.x, plot.x + room, plot.right() - room), y.At(model.interval.low) + 14}, text,
                {.color = kInk,
                 .size = kLabelSize,
                 .bold = model.chosen,
                 .horizontal = HorizontalAlign::kCenter,
                 .vertical = VerticalAlign::kMiddle});
  }
  canvas.StrokeRectangle(plot, {.color = kFrame, .width = 1});
  return canvas.EncodePng();
}

}  // namespace graft
