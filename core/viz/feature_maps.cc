#include "core/viz/feature_maps.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/viz/axes.h"
#include "core/viz/canvas.h"
#include "core/viz/ramp.h"

namespace graft {
namespace {

constexpr int64_t kMostChannels = 256;
constexpr int64_t kMostCells = 1024;  // a side of a map
constexpr double kTop = 76;
constexpr double kGap = 2;
constexpr int kLeastPixels = 800;  // of the grid's width; text needs room
constexpr int kMostPixels = 1000;
constexpr int kMostSide = 224;  // pixels of a channel's picture

// A channel in colours, each of its numbers `times` x `times` pixels, which keeps small maps sharp.
std::vector<uint8_t> Colored(absl::Span<const float> map, int64_t width, int64_t times) {
  float least = std::numeric_limits<float>::infinity();
  float most = -least;
  for (const float value : map) {
    if (std::isfinite(value)) {
      least = std::min(least, value);
      most = std::max(most, value);
    }
  }
  const double range = static_cast<double>(most) - least;
  std::vector<uint8_t> out;
  out.reserve(map.size() * static_cast<size_t>(times * times) * 3);
  for (size_t row = 0; row < map.size(); row += static_cast<size_t>(width)) {
    const size_t begin = out.size();
    for (int64_t x = 0; x < width; ++x) {
      const float value = map[row + static_cast<size_t>(x)];
      const bool shown = range > 0 && std::isfinite(value);
      const Pixel color = MapColor(shown ? static_cast<float>((static_cast<double>(value) - least) / range) : 0);
      for (int64_t i = 0; i < times; ++i) {
        out.insert(out.end(), color.begin(), color.end());
      }
    }
    const std::vector<uint8_t> line(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end());
    for (int64_t i = 1; i < times; ++i) {
      out.insert(out.end(), line.begin(), line.end());
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> FeatureMaps(const FeatureMapsPicture& picture) {
  if (picture.channels < 1 || picture.channels > kMostChannels || picture.height < 1 || picture.height > kMostCells ||
      picture.width < 1 || picture.width > kMostCells ||
      picture.values.size() != static_cast<size_t>(picture.channels * picture.height * picture.width)) {
    return InvalidField("values", absl::StrCat(picture.values.size(), " numbers don't make ", picture.channels,
                                               " channels of ", picture.height, " x ", picture.width, "; at most ",
                                               kMostChannels, " of ", kMostCells, " x ", kMostCells, " are drawn"));
  }
  const auto columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(picture.channels))));
  const int64_t rows = (picture.channels + columns - 1) / columns;
  // A whole number of pixels for each of a small map's numbers; large maps are shrunk.
  const int64_t room = std::min<int64_t>(kMostSide, kMostPixels / columns - static_cast<int64_t>(kGap * kScale));
  const int64_t longest = std::max(picture.width, picture.height);
  const int64_t times = std::max<int64_t>(1, room / longest);
  const double scale = longest > room ? static_cast<double>(room) / static_cast<double>(longest) : 1;
  const auto points = [&](int64_t cells) {
    return std::max(1.0, std::round(static_cast<double>(cells * times) * scale)) / kScale;
  };
  const double width = points(picture.width);
  const double height = points(picture.height);
  const double grid = static_cast<double>(columns) * (width + kGap) - kGap;
  const double all = std::ceil(2 * kMargin + std::max(grid, kLeastPixels / kScale));
  GRAFT_ASSIGN_OR_RETURN(
      Canvas canvas,
      Canvas::Create(static_cast<int>(all),
                     static_cast<int>(std::ceil(kTop + static_cast<double>(rows) * (height + kGap) - kGap + kMargin)),
                     kScale));
  DrawTitle(canvas, picture.title);
  canvas.Text({kMargin, 60}, canvas.Shorten(picture.subtitle, canvas.width() - 2 * kMargin, kLabelSize),
              {.color = kMuted, .size = kLabelSize});
  const auto size = static_cast<size_t>(picture.height * picture.width);
  for (int64_t i = 0; i < picture.channels; ++i) {
    const int64_t row = i / columns;
    const Rect place{kMargin + static_cast<double>(i % columns) * (width + kGap),
                     kTop + static_cast<double>(row) * (height + kGap), width, height};
    canvas.Picture(place, Colored(picture.values.subspan(static_cast<size_t>(i) * size, size), picture.width, times),
                   static_cast<int>(picture.width * times), static_cast<int>(picture.height * times));
  }
  return canvas.EncodePng();
}

}  // namespace graft
