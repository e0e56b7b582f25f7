#include "core/viz/heat_map.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/viz/axes.h"
#include "core/viz/canvas.h"
#include "core/viz/ramp.h"

namespace graft {
namespace {

constexpr double kSide = kHeatMapSide / kScale;
constexpr double kGap = 12;
constexpr double kTop = 76;
constexpr double kLegend = 40;  // below the pictures
constexpr int64_t kMostCells = 512;
constexpr float kStrength = 0.6F;  // of the heat's colours over the photograph's

// Where in a map of `cells` the middle of a pixel lies: a cell, the next one, and how far on the way to it.
struct Place {
  size_t from;
  size_t to;
  float share;
};
std::vector<Place> Places(int64_t cells, int pixels) {
  std::vector<Place> places;
  for (int i = 0; i < pixels; ++i) {
    const float at = (static_cast<float>(i) + 0.5F) * static_cast<float>(cells) / static_cast<float>(pixels) - 0.5F;
    const float clamped = std::clamp(at, 0.0F, static_cast<float>(cells - 1));
    const auto from = static_cast<size_t>(clamped);
    places.push_back({from, std::min(from + 1, static_cast<size_t>(cells - 1)), clamped - static_cast<float>(from)});
  }
  return places;
}

std::vector<uint8_t> Laid(const HeatMapPicture& picture) {
  const std::vector<float> heat = Stretched(picture.heat, picture.rows, picture.columns, picture.height, picture.width);
  std::vector<uint8_t> out(picture.pixels.size());
  for (size_t i = 0; i < heat.size(); ++i) {
    const Pixel color = HeatColor(heat[i]);
    for (size_t c = 0; c < 3; ++c) {
      const float below = picture.pixels[3 * i + c];
      out[3 * i + c] = static_cast<uint8_t>(std::lround(below + kStrength * (static_cast<float>(color[c]) - below)));
    }
  }
  return out;
}

void DrawLegend(Canvas& canvas, double right, double y) {
  constexpr int kSteps = 128;
  constexpr double kWidth = 110;
  constexpr double kHeight = 8;
  std::vector<uint8_t> bar;
  for (int i = 0; i < kSteps; ++i) {
    const Pixel color = HeatColor(static_cast<float>(i) / (kSteps - 1));
    bar.insert(bar.end(), color.begin(), color.end());
  }
  const TextStyle style{
      .color = kMuted, .size = kTickSize, .horizontal = HorizontalAlign::kRight, .vertical = VerticalAlign::kMiddle};
  canvas.Text({right, y + kHeight / 2}, "speaks for it most", style);
  const double x = right - canvas.TextWidth("speaks for it most", kTickSize) - 8 - kWidth;
  canvas.Picture({x, y, kWidth, kHeight}, bar, kSteps, 1);
  canvas.Text({x - 8, y + kHeight / 2}, "not at all", style);
}

}  // namespace

std::vector<float> Stretched(absl::Span<const float> map, int64_t rows, int64_t columns, int height, int width) {
  const std::vector<Place> down = Places(rows, height);
  const std::vector<Place> across = Places(columns, width);
  std::vector<float> out;
  out.reserve(down.size() * across.size());
  for (const Place& y : down) {
    const float* const above = map.data() + y.from * static_cast<size_t>(columns);
    const float* const below = map.data() + y.to * static_cast<size_t>(columns);
    for (const Place& x : across) {
      const float top = above[x.from] + x.share * (above[x.to] - above[x.from]);
      const float bottom = below[x.from] + x.share * (below[x.to] - below[x.from]);
      out.push_back(top + y.share * (bottom - top));
    }
  }
  return out;
}

absl::StatusOr<std::string> HeatMap(const HeatMapPicture& picture) {
  constexpr int kMostPixels = 4 * kHeatMapSide;
  if (picture.width < 1 || picture.height < 1 || picture.width > kMostPixels || picture.height > kMostPixels ||
      picture.pixels.size() != static_cast<size_t>(picture.width) * static_cast<size_t>(picture.height) * 3) {
    return InvalidField("pixels", absl::StrCat(picture.pixels.size(), " bytes don't make ", picture.width, " x ",
                                               picture.height, " pixels of 1 to ", kMostPixels, " a side"));
  }
  if (picture.rows < 1 || picture.columns < 1 || picture.rows > kMostCells || picture.columns > kMostCells ||
      picture.heat.size() != static_cast<size_t>(picture.rows * picture.columns)) {
    return InvalidField("heat", absl::StrCat(picture.heat.size(), " numbers don't make ", picture.rows, " x ",
                                             picture.columns, " of 1 to ", kMostCells, " a side"));
  }
  const double scale = kSide / std::max(picture.width, picture.height);
  const double width = std::max(1.0, std::round(picture.width * scale));
  const double height = std::max(1.0, std::round(picture.height * scale));
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas, Canvas::Create(static_cast<int>(2 * kMargin + 2 * kSide + kGap),
                                                       static_cast<int>(kTop + height + kLegend), kScale));
  // The label, cut to its room, and the probability behind it, which never is.
  const std::string probability = absl::StrCat(" ", Percent(picture.probability));
  const double room = canvas.width() - 2 * kMargin;
  DrawTitle(canvas, absl::StrCat(canvas.Shorten(picture.label, room - canvas.TextWidth(probability, kTitleSize, true),
                                                kTitleSize, true),
                                 probability));
  canvas.Text({kMargin, 60}, canvas.Shorten(picture.subtitle, room, kLabelSize), {.color = kMuted, .size = kLabelSize});
  canvas.Picture({kMargin, kTop, width, height}, picture.pixels, picture.width, picture.height);
  canvas.Picture({kMargin + width + kGap, kTop, width, height}, Laid(picture), picture.width, picture.height);
  DrawLegend(canvas, canvas.width() - kMargin, kTop + height + kLegend / 2 - 6);
  return canvas.EncodePng();
}

}  // namespace graft
