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

absl::Status CheckCalibration(const EvaluationReport& report) {
  if (!report.calibration.has_value() || report.calibration->bins.empty()) {
    return InvalidField("report.calibration", "isn't there; evaluate the model again");
  }
  for (const ReliabilityBin& bin : report.calibration->bins) {
    const bool good = bin.low >= 0 && bin.low < bin.high && bin.high <= 1 && bin.images >= 0 && bin.confidence >= 0 &&
                      bin.confidence <= 1 && bin.accuracy >= 0 && bin.accuracy <= 1;
    if (!good) {
      return InvalidField("report.calibration", "has a bin with a share outside 0 to 1 or a negative count");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReliabilityDiagram(absl::string_view title, const EvaluationReport& report) {
  GRAFT_RETURN_IF_ERROR(CheckCalibration(report));
  const Calibration& calibration = *report.calibration;
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas, Canvas::Create(580, 690, kScale));
  DrawTitle(canvas, title);
  canvas.Text({kMargin, 60},
              absl::StrFormat("expected calibration error %.3f, Brier score %.3f, %d %s", calibration.expected_error,
                              calibration.brier, report.images, report.images == 1 ? "image" : "images"),
              {.color = kMuted, .size = kLabelSize});

  // Of two classes, the predicted one has at least half.
  Axis x;
  x.low = report.labels.size() == 2 ? 0.5 : 0;
  AddTicks(x, report.labels.size() == 2 ? 0.1 : 0.2);
  Axis y;
  AddTicks(y, 0.2);
  const Rect plot{88, 84, 450, 380};
  const Rect counts{plot.x, plot.bottom() + 46, plot.width, 92};
  Span(plot, x, y);
  DrawAxes(canvas, plot, x, y, "", "accuracy");

  const auto images = std::max<double>(1, static_cast<double>(report.images));
  double most = 0;
  for (const ReliabilityBin& bin : calibration.bins) {
    most = std::max(most, static_cast<double>(bin.images) / images);
  }
  Axis share = LinearAxis(0, most * 100);
  share.from = counts.bottom();
  share.to = counts.y;
  // Few ticks: the panel is low.
  share.ticks = {share.ticks.front(), share.ticks.back()};
  DrawAxes(canvas, counts, x, share, "confidence: the predicted class's probability", "% of images");

  const Color right = kSeries[0];
  const Color gap = Mix(kWhite, kSeries[1], 0.45);
  for (const ReliabilityBin& bin : calibration.bins) {
    if (bin.images == 0) {
      continue;
    }
    const double left = std::max(x.At(bin.low), plot.x) + 1;
    const double width = x.At(bin.high) - 1 - left;
    const double top = y.At(bin.accuracy);
    const double fair = y.At(bin.confidence);
    canvas.FillRectangle({left, top, width, plot.bottom() - top}, Mix(kWhite, right, 0.75));
    canvas.FillRectangle({left, std::min(top, fair), width, std::abs(top - fair)}, gap);
    canvas.Line({left, top}, {left + width, top}, {.color = right, .width = 2});
    const Interval interval = WilsonInterval(std::llround(bin.accuracy * static_cast<double>(bin.images)), bin.images);
    const double middle = left + width / 2;
    const LineStyle whisker{.color = kInk, .width = 1};
    canvas.Line({middle, y.At(interval.low)}, {middle, y.At(interval.high)}, whisker);
    for (const double end : {interval.low, interval.high}) {
      canvas.Line({middle - 3, y.At(end)}, {middle + 3, y.At(end)}, whisker);
    }
    const double height = share.At(100.0 * static_cast<double>(bin.images) / images);
    canvas.FillRectangle({left, height, width, counts.bottom() - height}, Mix(kWhite, right, 0.75));
  }
  canvas.Line({x.At(x.low), y.At(x.low)}, {x.At(1), y.At(1)}, {.color = kMuted, .width = 1.4, .dash = {4, 3}});
  canvas.StrokeRectangle(plot, {.color = kFrame, .width = 1});
  canvas.StrokeRectangle(counts, {.color = kFrame, .width = 1});

  // What is what, in one line under everything.
  const double line = canvas.height() - 18;
  double at = plot.x;
  const auto key = [&](const Color& color, absl::string_view text) {
    canvas.FillRectangle({at, line - 9, 12, 10}, color);
    canvas.Text({at + 18, line}, text, {.color = kMuted, .size = kTickSize});
    at += 18 + canvas.TextWidth(text, kTickSize) + 20;
  };
  key(Mix(kWhite, right, 0.75), "accuracy, 95 % interval");
  key(gap, "distance from confidence");
  canvas.Line({at, line - 4}, {at + 22, line - 4}, {.color = kMuted, .width = 1.4, .dash = {4, 3}});
  canvas.Text({at + 28, line}, "calibrated", {.color = kMuted, .size = kTickSize});
  return canvas.EncodePng();
}

}  // namespace graft
