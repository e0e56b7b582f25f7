// A photograph, and beside it a heat map laid over it.
#ifndef GRAFT_CORE_VIZ_HEAT_MAP_H_
#define GRAFT_CORE_VIZ_HEAT_MAP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace graft {

// The pixels that a photograph's longer side has in the picture: more of them are no use.
inline constexpr int kHeatMapSide = 512;

struct HeatMapPicture {
  std::string label;  // that it is for
  double probability = 0;
  std::string subtitle;
  // Height x width x 3, RGB; each side at most 4 * kHeatMapSide.
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;
  // Rows x columns over the whole photograph, from 0 to 1; at most 512 a side.
  int64_t rows = 0;
  int64_t columns = 0;
  absl::Span<const float> heat;
};

// Share at each of height x width pixels of a map that is stretched over them, bilinear, as cv2.resize and PyTorch's
// interpolate (align_corners=False) have it.
std::vector<float> Stretched(absl::Span<const float> map, int64_t rows, int64_t columns, int height, int width);

// The bytes of a PNG file, about 1150 pixels wide, as high as the photograph makes it. INVALID_ARGUMENT when something
// doesn't fit its size.
absl::StatusOr<std::string> HeatMap(const HeatMapPicture& picture);

}  // namespace graft

#endif  // GRAFT_CORE_VIZ_HEAT_MAP_H_
