#include "core/viz/axes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace graft {
namespace {

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

}  // namespace

void AddTicks(Axis& axis, double step) {
  const double first = std::ceil(axis.low / step - 1e-9);
  for (int i = 0; i < 100 && (first + i) * step <= axis.high + step * 1e-9; ++i) {
    axis.ticks.push_back({(first + i) * step, TickText((first + i) * step, step)});
  }
}

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
  for (int i = 0; first + i * step <= last; ++i) {
    const double power = first + i * step;
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

void Span(const Rect& plot, Axis& x, Axis& y) {
  x.from = plot.x;
  x.to = plot.right();
  y.from = plot.bottom();
  y.to = plot.y;
}

void DrawTitle(Canvas& canvas, absl::string_view title) {
  canvas.Text({kMargin, 38}, canvas.Shorten(title, canvas.width() - 2 * kMargin, kTitleSize, true),
              {.color = kInk, .size = kTitleSize, .bold = true});
}

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

void DrawLegend(Canvas& canvas, Point corner, double width, absl::string_view name, absl::string_view number,
                const std::vector<LegendRow>& rows) {
  const double left = corner.x;
  const double right = corner.x + width;
  double middle = corner.y + 10;
  const TextStyle words{.color = kInk, .size = 12, .vertical = VerticalAlign::kMiddle};
  TextStyle numbers = words;
  numbers.horizontal = HorizontalAlign::kRight;
  TextStyle heading = words;
  heading.color = kMuted;
  heading.size = kTickSize;
  canvas.Text({left, middle}, name, heading);
  heading.horizontal = HorizontalAlign::kRight;
  canvas.Text({right, middle}, number, heading);
  heading.horizontal = HorizontalAlign::kLeft;
  middle += 12;
  canvas.Line({left, middle}, {right, middle}, {.color = kGrid, .width = 1});
  middle += 16;
  for (const LegendRow& row : rows) {
    if (row.heading) {
      canvas.Text({left, middle}, canvas.Shorten(row.name, width, heading.size), heading);
    } else {
      if (row.line.has_value()) {
        canvas.Line({left, middle}, {left + 28, middle}, *row.line);
      }
      const double room = width - 38 - canvas.TextWidth(row.number, words.size) - 12;
      canvas.Text({left + 38, middle}, canvas.Shorten(row.name, room, words.size), words);
      canvas.Text({right, middle}, row.number, numbers);
    }
    middle += 22;
  }
}

std::vector<size_t> ChooseCurves(const std::vector<std::optional<double>>& scores) {
  std::vector<size_t> chosen(scores.size());
  std::iota(chosen.begin(), chosen.end(), 0);
  if (scores.size() <= kMostCurves) {
    return chosen;
  }
  chosen.erase(std::remove_if(chosen.begin(), chosen.end(), [&](size_t c) { return !scores[c].has_value(); }),
               chosen.end());
  std::stable_sort(chosen.begin(), chosen.end(), [&](size_t a, size_t b) { return *scores[a] < *scores[b]; });
  chosen.resize(std::min(kWorstCurves, chosen.size()));
  return chosen;
}

LineStyle CurveStyle(size_t i, double width) {
  LineStyle style{.color = kSeries[i % kSeries.size()], .width = width};
  if (i % kSeries.size() >= kSeries.size() / 2) {
    style.dash = {6, 2.5};
  }
  return style;
}

std::string Percent(double share) {
  if (share > 0 && share < 0.0005) return "<0.1%";
  if (share < 1 && share > 0.9995) return ">99.9%";
  return absl::StrFormat("%.*f%%", share > 0 && share < 1 ? 1 : 0, share * 100);
}

}  // namespace graft
