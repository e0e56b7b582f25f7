// What the channels of a layer make of an image, each a small picture.
#ifndef GRAFT_CORE_VIZ_FEATURE_MAPS_H_
#define GRAFT_CORE_VIZ_FEATURE_MAPS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace graft {

struct FeatureMapsPicture {
  std::string title;
  std::string subtitle;
  int64_t channels = 0;  // 1 to 256
  int64_t height = 0;    // 1 to 1024, and so the width
  int64_t width = 0;
  absl::Span<const float> values;  // channels x height x width
};

// The bytes of a PNG file: the channels row by row in a square grid, each from its least to its greatest number; one
// whose numbers are all alike is dark, and what isn't finite is so, too. About 1000 pixels wide for 64 channels, 1100
// at most. INVALID_ARGUMENT when something doesn't fit its size.
absl::StatusOr<std::string> FeatureMaps(const FeatureMapsPicture& picture);

}  // namespace graft

#endif  // GRAFT_CORE_VIZ_FEATURE_MAPS_H_
