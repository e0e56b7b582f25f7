// Encoded images in, RGB pixels out. Bytes may come from anybody: format and size are read from the header first, and
// what isn't whole is refused.
//
// One rule on every path, training and serving alike: JPEG, PNG, WebP and BMP, told by their bytes; EXIF orientation is
// applied; grey and palette images become RGB; transparency is laid over white; CMYK and 16-bit images become 8-bit
// RGB.
#ifndef GRAFT_CORE_DATA_IMAGE_H_
#define GRAFT_CORE_DATA_IMAGE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace graft {

enum class ImageFormat { kJpeg, kPng, kWebp, kBmp };

struct ImageLimits {
  int64_t max_bytes = 20 << 20;
  int64_t max_pixels = 50'000'000;
  int64_t max_side = 16'384;
};

// What an image's header says.
struct ImageInfo {
  ImageFormat format = ImageFormat::kJpeg;
  int64_t width = 0;  // as stored, before EXIF orientation
  int64_t height = 0;
  int orientation = 1;  // EXIF: 1 to 8
  // Of a grey PNG: the grey that stands for transparency (8 bits, or 16 where the image has 16); -1: none does.
  int transparent_grey = -1;
};

// Reads headers only. INVALID_ARGUMENT: of another format, truncated, damaged in its structure, animated, or over a
// limit.
absl::StatusOr<ImageInfo> ProbeImage(absl::Span<const uint8_t> bytes, const ImageLimits& limits = {});

// Height x width x 3, RGB.
struct RgbImage {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;
};

enum class Interpolation {
  kNearest,   // equal to Pillow's NEAREST
  kBilinear,  // OpenCV's INTER_LINEAR
  kArea,      // mean of the covered pixels
};

absl::string_view InterpolationName(Interpolation interpolation);

// INVALID_ARGUMENT as ProbeImage, or when the decoder finds the data undecodable; RESOURCE_EXHAUSTED without memory.
absl::StatusOr<RgbImage> DecodeImage(absl::Span<const uint8_t> bytes, const ImageLimits& limits = {});

// Decodes to size x size (the aspect ratio isn't kept, as in the reference) into `out`: size * size * 3 bytes, RGB.
absl::Status DecodeImageTo(absl::Span<const uint8_t> bytes, int size, Interpolation interpolation,
                           absl::Span<uint8_t> out, const ImageLimits& limits = {});

}  // namespace graft

#endif  // GRAFT_CORE_DATA_IMAGE_H_
