#include "core/viz/ramp.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace graft {
namespace {

// Evenly spaced, with straight lines between.
template <size_t N>
Pixel On(const std::array<Pixel, N>& stops, float share) {
  const float at = std::isnan(share) ? 0 : std::clamp(share, 0.0F, 1.0F) * static_cast<float>(N - 1);
  const size_t from = std::min(static_cast<size_t>(at), N - 2);
  const float rest = at - static_cast<float>(from);
  Pixel pixel{};
  for (size_t c = 0; c < pixel.size(); ++c) {
    const float low = stops[from][c];
    const float high = stops[from + 1][c];
    pixel[c] = static_cast<uint8_t>(std::lround(low + rest * (high - low)));
  }
  return pixel;
}

}  // namespace

Pixel HeatColor(float share) {
  static constexpr std::array<Pixel, 6> kStops = {
      {{8, 8, 30}, {72, 16, 110}, {150, 38, 102}, {222, 84, 50}, {252, 165, 20}, {252, 255, 170}}};
  return On(kStops, share);
}

Pixel MapColor(float share) {
  static constexpr std::array<Pixel, 5> kStops = {
      {{68, 2, 84}, {58, 82, 140}, {32, 144, 140}, {92, 200, 98}, {252, 230, 36}}};
  return On(kStops, share);
}

}  // namespace graft
