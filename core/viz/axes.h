// What the charts share: colours, sizes, axes.
#ifndef GRAFT_CORE_VIZ_AXES_H_
#define GRAFT_CORE_VIZ_AXES_H_

#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/viz/canvas.h"

namespace graft {

inline constexpr double kScale = 2;  // pixels a point
inline constexpr double kMargin = 24;
inline constexpr double kTitleSize = 17;
inline constexpr double kLabelSize = 12.5;
inline constexpr double kTickSize = 11.5;

inline constexpr Color kInk = Rgb(0x222222);
inline constexpr Color kMuted = Rgb(0x5A5A5A);
inline constexpr Color kFrame = Rgb(0x9A9A9A);
inline constexpr Color kGrid = Rgb(0xE4E4E4);
inline constexpr Color kWhite = Rgb(0xFFFFFF);

// Colours that stay apart under the common kinds of colour blindness (Okabe and Ito's, and three of Tol's); the second
// half is drawn dashed besides.
inline constexpr std::array<Color, 10> kSeries = {Rgb(0x0072B2), Rgb(0xD55E00), Rgb(0x009E73), Rgb(0xCC79A7),
                                                  Rgb(0xE69F00), Rgb(0x332288), Rgb(0x56B4E9), Rgb(0x882255),
                                                  Rgb(0x999933), Rgb(0x777777)};

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

// An axis over all of [low, high], ending at ticks; the same in powers of ten, for low above 0; and one of whole
// epochs.
Axis LinearAxis(double low, double high);
Axis LogarithmicAxis(double low, double high);
Axis EpochAxis(int first, int last);
// At the multiples of `step` within the axis.
void AddTicks(Axis& axis, double step);

// Lays the axes along the plot's lower and left edges.
void Span(const Rect& plot, Axis& x, Axis& y);

void DrawTitle(Canvas& canvas, absl::string_view title);

// Grid, frame, ticks and the two axes' names; that of the y axis stands upright, left of its widest tick.
void DrawAxes(Canvas& canvas, const Rect& plot, const Axis& x, const Axis& y, absl::string_view x_name,
              absl::string_view y_name);

// A line of a legend: a sample of the line, what it is, and a number at the right.
struct LegendRow {
  std::string name = "";
  std::string number = "";
  std::optional<LineStyle> line = std::nullopt;  // none: nothing of it is drawn
  bool heading = false;                          // of the rows that follow
};

// Two words above a rule, then the rows, from `corner` down; names are shortened to what fits into `width`.
void DrawLegend(Canvas& canvas, Point corner, double width, absl::string_view name, absl::string_view number,
                const std::vector<LegendRow>& rows);

// Of more curves than that, only the worst ones are drawn.
inline constexpr size_t kMostCurves = 10;
inline constexpr size_t kWorstCurves = 5;
// Which of the classes' curves are drawn: all, or the kWorstCurves with the lowest scores. A class without a score has
// no curve.
std::vector<size_t> ChooseCurves(const std::vector<std::optional<double>>& scores);
// The i-th one's colour and dashes.
LineStyle CurveStyle(size_t i, double width);

// 12.3%, and what rounds to nothing or to everything, but isn't, says so.
std::string Percent(double share);

}  // namespace graft

#endif  // GRAFT_CORE_VIZ_AXES_H_
