// A photograph made small, for people to look at.
#ifndef GRAFT_CORE_DATA_THUMBNAIL_H_
#define GRAFT_CORE_DATA_THUMBNAIL_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/data/image.h"

namespace graft {

// Decodes and shrinks to at most `side` (>= 1) pixels along the longer side; the aspect ratio is kept and smaller
// pictures stay as they are. Errors as DecodeImage.
absl::StatusOr<RgbImage> DecodeThumbnail(absl::Span<const uint8_t> bytes, int side);

}  // namespace graft

#endif  // GRAFT_CORE_DATA_THUMBNAIL_H_
