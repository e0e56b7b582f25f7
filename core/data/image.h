// Encoded images in, RGB pixels out. Bytes may come from anybody: format and size are read from the header first, and
// what isn't whole is refused.
//
// What a picture may cost is bounded before a decoder sees it, by its headers: memory by max_decoded_bytes, time by
// max_pixels and max_scan_pixels. Within the default limits a decode takes about a second of one CPU at most; it isn't
// interrupted.
//
// One rule on every path, training and serving alike: JPEG, PNG, WebP and BMP, told by their bytes; EXIF orientation is
// applied; grey and palette images become RGB; transparency is laid over white; CMYK and 16-bit images become 8-bit
// RGB.
#ifndef GRAFT_CORE_DATA_IMAGE_H_
#define GRAFT_CORE_DATA_IMAGE_H_

#include <cstdint>
#include <functional>
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
  // ImageInfo::passes times pixels. A JPEG of 50 megapixels in the ten scans that encoders make.
  int64_t max_scan_pixels = 500'000'000;
  // ImageInfo::decoded_bytes. 50 megapixels of 16-bit RGBA.
  int64_t max_decoded_bytes = 400'000'000;
};

// ImageInfo::decoded_bytes of all decoders of a job's threads together.
inline constexpr int64_t kDecodingBytes = 1'000'000'000;

// What an image's header says.
struct ImageInfo {
  ImageFormat format = ImageFormat::kJpeg;
  int64_t width = 0;  // as stored, before EXIF orientation
  int64_t height = 0;
  int orientation = 1;  // EXIF: 1 to 8
  // Of a grey PNG: the grey that stands for transparency (8 bits, or 16 where the image has 16); -1: none does.
  int transparent_grey = -1;
  // How often the decoder goes over all pixels: a JPEG's scans, each of which takes its time however few bytes it has;
  // a PNG's bytes a pixel, twice as many when it is interlaced. 1 for other formats.
  int64_t passes = 1;
  // The most memory that DecodeImageTo holds at a time, beside the file and the result: pixels as the decoder lays them
  // out, what it needs besides, and the copies of conversions.
  int64_t decoded_bytes = 0;
};

// Reads headers only. INVALID_ARGUMENT: of another format, truncated, damaged in its structure, animated, coded
// arithmetically, or over a limit.
absl::StatusOr<ImageInfo> ProbeImage(absl::Span<const uint8_t> bytes, const ImageLimits& limits = {});

// Height x width x 3, RGB.
struct RgbImage {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;
};

// All but kArea are equal to Pillow's filter of that name, byte for byte. Where an image shrinks, all but kNearest take
// every pixel into account (antialiasing).
enum class Interpolation {
  kNearest,
  kBilinear,
  kArea,  // mean of the covered pixels, those at the border by their share: OpenCV's INTER_AREA
  kBicubic,
  kBox,  // mean of the pixels whose centres are covered
};

absl::string_view InterpolationName(Interpolation interpolation);

// Which rule, of decoding and resizing, pixels were made by: changes when other pixels than before are made of the same
// file. Caches carry it.
inline constexpr char kPixelRule[] = "2";

// INVALID_ARGUMENT as ProbeImage, or when the decoder finds the data undecodable; RESOURCE_EXHAUSTED without memory.
// The result's pixels come on top of ImageInfo::decoded_bytes.
absl::StatusOr<RgbImage> DecodeImage(absl::Span<const uint8_t> bytes, const ImageLimits& limits = {});

// Decodes to size x size (the aspect ratio isn't kept, as in the reference) into `out`: size * size * 3 bytes, RGB.
absl::Status DecodeImageTo(absl::Span<const uint8_t> bytes, int size, Interpolation interpolation,
                           absl::Span<uint8_t> out, const ImageLimits& limits = {});
// The same for bytes of which ProbeImage said `info`. `abandoned` (may be empty) is asked before decoding and between
// decoding and resizing; once it says true, the result is CANCELLED.
absl::Status DecodeImageTo(absl::Span<const uint8_t> bytes, const ImageInfo& info, int size,
                           Interpolation interpolation, absl::Span<uint8_t> out,
                           const std::function<bool()>& abandoned = nullptr);

// For people to look at: the whole image, its longer side brought down to `side` pixels (smaller ones stay as they
// are). JPEGs are decoded no finer than needed. `info`: what ProbeImage said of the bytes.
absl::StatusOr<RgbImage> DecodeThumbnail(absl::Span<const uint8_t> bytes, const ImageInfo& info, int side);

}  // namespace graft

#endif  // GRAFT_CORE_DATA_IMAGE_H_
