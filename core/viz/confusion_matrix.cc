#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/viz/axes.h"
#include "core/viz/canvas.h"
#include "core/viz/charts.h"

namespace graft {
namespace {

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

}  // namespace

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

}  // namespace graft
