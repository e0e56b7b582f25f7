#include "core/data/image.h"

#include <sys/mman.h>
#include <turbojpeg.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/data/resize.h"

namespace graft {
namespace {

// Turns and mirrors as the eight values of the EXIF tag say.
void ApplyOrientation(int orientation, cv::Mat* image) {
  switch (orientation) {
    case 2:
      cv::flip(*image, *image, 1);
      break;
    case 3:
      cv::rotate(*image, *image, cv::ROTATE_180);
      break;
    case 4:
      cv::flip(*image, *image, 0);
      break;
    case 5:
      cv::transpose(*image, *image);
      break;
    case 6:
      cv::rotate(*image, *image, cv::ROTATE_90_CLOCKWISE);
      break;
    case 7:
      cv::transpose(*image, *image);
      cv::flip(*image, *image, -1);
      break;
    case 8:
      cv::rotate(*image, *image, cv::ROTATE_90_COUNTERCLOCKWISE);
      break;
    default:
      break;
  }
}

// A decoded image, before EXIF orientation.
struct Decoded {
  cv::Mat memory;  // holds `pixels` where they are a part of it
  cv::Mat pixels;  // 8 bits, three channels
  bool bgr = false;
};

inline uint8_t ToByte(uint8_t value) { return value; }
inline uint8_t ToByte(uint16_t value) { return static_cast<uint8_t>((value + 128U) / 257U); }  // 65535 is 255

// Turns BGR or BGRA of 8 or 16 bits into 8-bit RGB, blended over white: c = c a + 255 (1 - a), rounded. In place: what
// a pixel becomes lies before what is still to be read, and so a picture of 400 MB needs no second one.
template <typename T, int kChannels>
void FlattenInPlace(cv::Mat* image) {
  for (int y = 0; y < image->rows; ++y) {
    const T* from = image->ptr<T>(y);
    uint8_t* to = image->ptr<uint8_t>(y);
    for (int x = 0; x < image->cols; ++x, from += kChannels, to += 3) {
      std::array<int, 3> rgb = {ToByte(from[2]), ToByte(from[1]), ToByte(from[0])};
      if constexpr (kChannels == 4) {
        const int alpha = ToByte(from[3]);
        for (int& c : rgb) {
          c = (c * alpha + 255 * (255 - alpha) + 127) / 255;
        }
      }
      for (size_t c = 0; c < 3; ++c) {
        to[c] = static_cast<uint8_t>(rgb[c]);
      }
    }
  }
}

Decoded Flattened(cv::Mat image) {
  if (image.depth() == CV_16U) {
    image.channels() == 4 ? FlattenInPlace<uint16_t, 4>(&image) : FlattenInPlace<uint16_t, 3>(&image);
  } else {
    FlattenInPlace<uint8_t, 4>(&image);
  }
  cv::Mat pixels(image.rows, image.cols, CV_8UC3, image.data, image.step);
  return {std::move(image), std::move(pixels)};
}

// OpenCV has an exception of its own for memory that ran out.
template <typename Fn>
auto CatchDecoding(Fn&& fn) -> decltype(fn()) {
  return CatchExceptions("decoding the image", [&]() -> decltype(fn()) {
    try {
      return fn();
    } catch (const cv::Exception& error) {
      if (error.code == cv::Error::StsNoMem) {
        throw std::bad_alloc();
      }
      throw;
    }
  });
}

absl::Status CheckSize(const ImageInfo& info, int width, int height) {
  if (width != info.width || height != info.height) {
    return absl::InvalidArgumentError(absl::StrCat("the image is damaged: its header says ", info.width, " x ",
                                                   info.height, ", its data ", width, " x ", height));
  }
  return absl::OkStatus();
}

// What to say when a decoder gave up. One that ran out of memory may say no more than that the data is bad, and then
// the image must not be blamed; so it is tried whether there is as much as it needed.
absl::Status Undecodable(const ImageInfo& info, absl::string_view reason) {
  const auto bytes = static_cast<size_t>(info.decoded_bytes);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::bad_alloc();
  }
  munmap(memory, bytes);
  return absl::InvalidArgumentError(absl::StrCat("the image can't be decoded: ", reason));
}

struct CloseTurboJpeg {
  void operator()(tjhandle handle) const { tjDestroy(handle); }
};

// JPEG to RGB: what OpenCV does too, but for its swap of the colours afterwards, which takes as long as all the rest.
// An empty image when it is of a kind that only OpenCV takes: CMYK, or with an unusual sampling.
// With `least` the image may come at a half, a quarter or an eighth of its size, for which the decoder does so much
// less, but with its longer side at least `least`.
absl::StatusOr<cv::Mat> DecodeJpeg(absl::Span<const uint8_t> bytes, const ImageInfo& info, int least) {
  thread_local const std::unique_ptr<std::remove_pointer_t<tjhandle>, CloseTurboJpeg> decoder(tjInitDecompress());
  if (decoder == nullptr) {
    throw std::bad_alloc();
  }
  int width = 0;
  int height = 0;
  int sampling = 0;
  int colors = 0;
  if (tjDecompressHeader3(decoder.get(), bytes.data(), bytes.size(), &width, &height, &sampling, &colors) != 0 ||
      colors == TJCS_CMYK || colors == TJCS_YCCK) {
    return cv::Mat();
  }
  GRAFT_RETURN_IF_ERROR(CheckSize(info, width, height));
  tjscalingfactor scale = {1, 1};
  while (least > 0 && scale.denom < 8 && std::max(width, height) / (2 * scale.denom) >= least) {
    scale.denom *= 2;
  }
  width = TJSCALED(width, scale);
  height = TJSCALED(height, scale);
  cv::Mat image(height, width, CV_8UC3);
  if (tjDecompress2(decoder.get(), bytes.data(), bytes.size(), image.data, width, static_cast<int>(image.step), height,
                    TJPF_RGB, 0) != 0 &&
      tjGetErrorCode(decoder.get()) == TJERR_FATAL) {
    return Undecodable(info, tjGetErrorStr2(decoder.get()));
  }
  return image;
}

absl::StatusOr<Decoded> Decode(absl::Span<const uint8_t> bytes, const ImageInfo& info, int least = 0) {
  if (info.format == ImageFormat::kJpeg) {
    GRAFT_ASSIGN_OR_RETURN(cv::Mat jpeg, DecodeJpeg(bytes, info, least));
    if (!jpeg.empty()) {
      return Decoded{{}, std::move(jpeg)};
    }
  }
  const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<uint8_t*>(bytes.data()));
  // Formats that can't be transparent decode straight to BGR; IMREAD_UNCHANGED is the only flag that keeps an alpha
  // channel.
  const bool opaque = info.format == ImageFormat::kJpeg || info.format == ImageFormat::kBmp;
  cv::Mat image =
      cv::imdecode(buffer, opaque ? cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION : cv::IMREAD_UNCHANGED);
  if (image.empty()) {
    return Undecodable(info, "its data is damaged");
  }
  GRAFT_RETURN_IF_ERROR(CheckSize(info, image.cols, image.rows));
  if (image.depth() != CV_8U && image.depth() != CV_16U) {
    return absl::InvalidArgumentError("the image's pixels are neither 8 nor 16 bits");
  }
  switch (image.channels()) {
    case 1:
      if (info.transparent_grey >= 0) {  // OpenCV sees to it in colour images only
        image.setTo(image.depth() == CV_16U ? 65535 : 255, image == info.transparent_grey);
      }
      if (image.depth() == CV_16U) {
        image.convertTo(image, CV_8U, 1.0 / 257.0);
      }
      cv::cvtColor(image, image, cv::COLOR_GRAY2RGB);
      return Decoded{{}, std::move(image)};
    case 3:
      if (image.depth() == CV_8U) {
        return Decoded{{}, std::move(image), /*bgr=*/true};
      }
      return Flattened(std::move(image));
    case 4:
      return Flattened(std::move(image));
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("the image has ", image.channels(), " channels; 1, 3 or 4 are supported"));
  }
}

// For each of `to` output positions, the input position that Pillow's NEAREST takes. Pillow adds the scale up instead
// of multiplying it, so where a position falls on the border of two pixels the rounding of that sum decides; OpenCV's
// INTER_NEAREST_EXACT decides otherwise (at 200 to 150 pixels for a third of all columns).
std::vector<int> NearestPositions(int from, int to) {
  const double scale = static_cast<double>(from) / to;
  std::vector<int> positions(static_cast<size_t>(to));
  double position = scale * 0.5;
  for (int& p : positions) {
    p = std::min(static_cast<int>(position), from - 1);
    position += scale;
  }
  return positions;
}

void ResizeNearest(const cv::Mat& image, int size, absl::Span<uint8_t> out) {
  std::vector<int> columns = NearestPositions(image.cols, size);
  const std::vector<int> rows = NearestPositions(image.rows, size);
  // Four bytes at a time, of which the next pixel overwrites the last, up to where the fourth would lie outside.
  const auto whole =
      static_cast<size_t>(std::find(columns.begin(), columns.end() - 1, image.cols - 1) - columns.begin());
  for (int& column : columns) {
    column *= 3;
  }
  uint8_t* to = out.data();
  for (const int row : rows) {
    const auto* from = image.ptr<uint8_t>(row);
    size_t i = 0;
    for (; i < whole; ++i, to += 3) {
      std::memcpy(to, from + columns[i], 4);
    }
    for (; i < columns.size(); ++i, to += 3) {
      std::memcpy(to, from + columns[i], 3);
    }
  }
}

}  // namespace

absl::string_view InterpolationName(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::kNearest:
      return "nearest";
    case Interpolation::kBilinear:
      return "bilinear";
    case Interpolation::kArea:
      return "area";
    case Interpolation::kBicubic:
      return "bicubic";
    case Interpolation::kBox:
      return "box";
  }
  return "";
}

absl::StatusOr<RgbImage> DecodeImage(absl::Span<const uint8_t> bytes, const ImageLimits& limits) {
  GRAFT_ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(bytes, limits));
  return CatchDecoding([&]() -> absl::StatusOr<RgbImage> {
    GRAFT_ASSIGN_OR_RETURN(Decoded image, Decode(bytes, info));
    ApplyOrientation(info.orientation, &image.pixels);
    RgbImage result;
    result.width = image.pixels.cols;
    result.height = image.pixels.rows;
    result.pixels.resize(static_cast<size_t>(result.width) * static_cast<size_t>(result.height) * 3);
    cv::Mat rgb(image.pixels.size(), CV_8UC3, result.pixels.data());
    if (image.bgr) {
      cv::cvtColor(image.pixels, rgb, cv::COLOR_BGR2RGB);
    } else {
      image.pixels.copyTo(rgb);
    }
    return result;
  });
}

absl::Status DecodeImageTo(absl::Span<const uint8_t> bytes, int size, Interpolation interpolation,
                           absl::Span<uint8_t> out, const ImageLimits& limits) {
  GRAFT_ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(bytes, limits));
  return DecodeImageTo(bytes, info, size, interpolation, out);
}

absl::Status DecodeImageTo(absl::Span<const uint8_t> bytes, const ImageInfo& info, int size,
                           Interpolation interpolation, absl::Span<uint8_t> out,
                           const std::function<bool()>& abandoned) {
  const auto check = [&] {
    return abandoned && abandoned() ? absl::CancelledError("the caller has gone") : absl::OkStatus();
  };
  return CatchDecoding([&]() -> absl::Status {
    GRAFT_RETURN_IF_ERROR(check());
    GRAFT_ASSIGN_OR_RETURN(Decoded image, Decode(bytes, info));
    GRAFT_RETURN_IF_ERROR(check());
    ApplyOrientation(info.orientation, &image.pixels);
    if (interpolation == Interpolation::kNearest) {
      ResizeNearest(image.pixels, size, out);
    } else if (IsFilter(interpolation)) {
      ResizeFiltered(image.pixels.data, image.pixels.cols, image.pixels.rows, image.pixels.step, size, interpolation,
                     out.data());
    } else {
      cv::Mat resized(size, size, CV_8UC3, out.data());
      cv::resize(image.pixels, resized, resized.size(), 0, 0, cv::INTER_AREA);
    }
    if (image.bgr) {  // here, where there is least of it
      for (size_t i = 0; i + 3 <= out.size(); i += 3) {
        std::swap(out[i], out[i + 2]);
      }
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<RgbImage> DecodeThumbnail(absl::Span<const uint8_t> bytes, const ImageInfo& info, int side) {
  return CatchDecoding([&]() -> absl::StatusOr<RgbImage> {
    GRAFT_ASSIGN_OR_RETURN(Decoded image, Decode(bytes, info, side));
    ApplyOrientation(info.orientation, &image.pixels);
    const double scale = std::min(1.0, static_cast<double>(side) / std::max(image.pixels.cols, image.pixels.rows));
    RgbImage result;
    result.width = std::max(1, static_cast<int>(std::lround(image.pixels.cols * scale)));
    result.height = std::max(1, static_cast<int>(std::lround(image.pixels.rows * scale)));
    result.pixels.resize(static_cast<size_t>(result.width) * static_cast<size_t>(result.height) * 3);
    cv::Mat rgb(result.height, result.width, CV_8UC3, result.pixels.data());
    cv::resize(image.pixels, rgb, rgb.size(), 0, 0, cv::INTER_AREA);
    if (image.bgr) {
      cv::cvtColor(rgb, rgb, cv::COLOR_BGR2RGB);
    }
    return result;
  });
}

}  // namespace graft
