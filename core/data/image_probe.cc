// Headers of JPEG (ITU T.81), PNG (ISO 15948), WebP (RFC 9649) and BMP, and the one EXIF tag that matters. Nothing here
// decodes pixels: TurboJPEG and OpenCV do, after this has said that the file is whole and its cost bearable.

#include <zlib.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/data/image.h"

namespace graft {
namespace {

using Bytes = absl::Span<const uint8_t>;

absl::string_view Text(Bytes bytes, size_t at, size_t size) {
  if (at > bytes.size() || size > bytes.size() - at) {
    return "";
  }
  return {reinterpret_cast<const char*>(bytes.data()) + at, size};
}

uint32_t Big(Bytes b, size_t at, int size) {
  uint32_t value = 0;
  for (int i = 0; i < size; ++i) {
    value = value << 8 | b[at + static_cast<size_t>(i)];
  }
  return value;
}

uint32_t Little(Bytes b, size_t at, int size) {
  uint32_t value = 0;
  for (int i = size - 1; i >= 0; --i) {
    value = value << 8 | b[at + static_cast<size_t>(i)];
  }
  return value;
}

// Of a progressive JPEG; encoders make about ten. A scan costs a little even where there are hardly any pixels.
constexpr int kMaxScans = 200;
constexpr int64_t kRgbBytes = 3;

struct Header : ImageInfo {
  double pixel_bytes = kRgbBytes;  // that decoding takes for each pixel
};

absl::Status Truncated(absl::string_view format) {
  return absl::InvalidArgumentError(absl::StrCat("the ", format, " image is truncated; send the whole file"));
}

absl::Status Damaged(absl::string_view format, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the ", format, " image is damaged: ", what));
}

// EXIF orientation of a TIFF block; 1 when there is none or it is damaged (a photograph with odd EXIF is still a
// photograph).
int ExifOrientation(Bytes tiff) {
  if (tiff.size() < 8) {
    return 1;
  }
  const bool little = Text(tiff, 0, 2) == "II";
  if (!little && Text(tiff, 0, 2) != "MM") {
    return 1;
  }
  const auto number = [&](size_t at, int size) { return little ? Little(tiff, at, size) : Big(tiff, at, size); };
  const size_t directory = number(4, 4);
  if (directory + 2 > tiff.size()) {
    return 1;
  }
  const size_t entries = number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = directory + 2 + 12 * i;
    if (at + 12 > tiff.size()) {
      return 1;
    }
    constexpr uint32_t kOrientation = 0x0112;
    if (number(at, 2) == kOrientation) {
      const uint32_t value = number(at + 8, 2);
      return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
  }
  return 1;
}

// How many coefficients a JPEG has for each pixel: one for each component, fewer where it is sampled more coarsely.
// `components` are a frame header's, three bytes each.
double CoefficientsPerPixel(Bytes components) {
  int widest = 1;
  int highest = 1;
  int blocks = 0;
  for (size_t i = 0; i + 3 <= components.size(); i += 3) {
    const int across = components[i + 1] >> 4;
    const int down = components[i + 1] & 0x0F;
    widest = std::max(widest, across);
    highest = std::max(highest, down);
    blocks += across * down;
  }
  return static_cast<double>(blocks) / (widest * highest);
}

absl::StatusOr<Header> ProbeJpeg(Bytes b) {
  Header info;
  info.format = ImageFormat::kJpeg;
  info.passes = 0;
  size_t at = 2;
  bool framed = false;
  bool scanned = false;
  size_t components = 0;
  double coefficients = 0;  // a pixel
  bool partial = false;     // its first scan doesn't have the whole picture
  while (true) {
    // The next marker: 0xFF, then a byte that is neither 0 (a stuffed 0xFF) nor a restart marker. Inside of a scan,
    // everything else is entropy-coded data.
    while (at + 1 < b.size() &&
           (b[at] != 0xFF || b[at + 1] == 0x00 || b[at + 1] == 0xFF || (b[at + 1] & 0xF8) == 0xD0)) {
      if (!scanned && b[at] != 0xFF) {
        return Damaged("JPEG", "a marker is missing");
      }
      const auto next = std::find(b.begin() + static_cast<ptrdiff_t>(at) + 1, b.end(), 0xFF);
      at = scanned ? static_cast<size_t>(next - b.begin()) : at + 1;
    }
    if (at + 1 >= b.size()) {
      return Truncated("JPEG");
    }
    const uint8_t marker = b[at + 1];
    at += 2;
    if (marker == 0xD9) {  // end of image
      if (!scanned) {
        return Damaged("JPEG", "it holds no picture");
      }
      // Where more than one scan makes up a picture, the decoder keeps all coefficients, of two bytes, until the end.
      info.pixel_bytes += partial || info.passes > 1 ? 2 * coefficients : 0;
      return info;
    }
    if (at + 2 > b.size()) {
      return Truncated("JPEG");
    }
    const size_t length = Big(b, at, 2);
    if (length < 2) {
      return Damaged("JPEG", "a segment has no length");
    }
    if (length > b.size() - at) {
      return Truncated("JPEG");
    }
    const bool start_of_frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (start_of_frame) {
      // A second one could claim another size than the one that the decoder goes by.
      if (length < 8 || framed) {
        return Damaged("JPEG", framed ? "it has two frame headers" : "its frame header is short");
      }
      if (marker >= 0xC9) {
        // Many decoders can't read it, and ours takes seconds for what a kilobyte says.
        return absl::InvalidArgumentError("arithmetic-coded JPEG isn't supported; save it with Huffman coding");
      }
      framed = true;
      info.height = Big(b, at + 3, 2);
      info.width = Big(b, at + 5, 2);
      components = b[at + 7];
      coefficients = CoefficientsPerPixel(b.subspan(at + 8, std::min(length - 8, 3 * components)));
      constexpr uint8_t kProgressive = 0xC2;
      partial = marker == kProgressive;
    } else if (marker == 0xE1 && Text(b, at + 2, 6) == absl::string_view("Exif\0\0", 6) && length >= 8) {
      info.orientation = ExifOrientation(b.subspan(at + 8, length - 8));
    } else if (marker == 0xDA) {
      if (!framed) {
        return Damaged("JPEG", "its frame header is missing");
      }
      if (++info.passes > kMaxScans) {
        return absl::InvalidArgumentError(absl::StrCat("the JPEG image has more than ", kMaxScans,
                                                       " scans; save it with fewer, or not progressively"));
      }
      partial = partial || length < 3 || b[at + 2] < components;
      scanned = true;
    }
    at += length;
  }
}

absl::StatusOr<Header> ProbePng(Bytes b) {
  Header info;
  info.format = ImageFormat::kPng;
  bool pixels = false;
  int depth = 0;
  bool grey = false;
  bool alpha = false;
  bool interlaced = false;
  for (size_t at = 8;;) {
    if (b.size() - at < 12) {
      return Truncated("PNG");
    }
    const size_t length = Big(b, at, 4);
    if (length > b.size() - at - 12) {
      return Truncated("PNG");
    }
    const absl::string_view type = Text(b, at + 4, 4);
    const uint32_t crc = static_cast<uint32_t>(crc32(0, b.data() + at + 4, static_cast<uInt>(length + 4)));
    if (crc != Big(b, at + 8 + length, 4)) {
      return Damaged("PNG", absl::StrCat("the checksum of its chunk at byte ", at, " is wrong"));
    }
    // Exactly one, and first: it is the one that the decoder goes by.
    if ((type == "IHDR") != (at == 8) || (at == 8 && length != 13)) {
      return Damaged("PNG", "its header is missing or comes twice");
    }
    if (type == "IHDR") {
      info.width = Big(b, at + 8, 4);
      info.height = Big(b, at + 12, 4);
      depth = b[at + 16];
      grey = b[at + 17] == 0;
      alpha = (b[at + 17] & 4) != 0;
      interlaced = b[at + 20] != 0;
    } else if (type == "tRNS" && grey && length == 2 && depth >= 1 && depth <= 16) {
      const int most = (1 << depth) - 1;
      info.transparent_grey = static_cast<int>(Big(b, at + 8, 2)) & most;
      if (depth < 8) {
        info.transparent_grey = info.transparent_grey * 255 / most;
      }
    } else if (type == "tRNS" && !grey) {
      alpha = true;
    } else if (type == "IDAT") {
      pixels = true;
    } else if (type == "acTL") {
      return absl::InvalidArgumentError("animated PNG isn't supported; send a single picture");
    } else if (type == "eXIf") {
      info.orientation = ExifOrientation(b.subspan(at + 8, length));
    } else if (type == "IEND") {
      if (!pixels) {
        return Damaged("PNG", "it holds no picture");
      }
      const int pixel = (grey ? 1 : alpha ? 4 : 3) * (depth == 16 ? 2 : 1);
      info.passes = interlaced ? 2 * pixel : pixel;
      // Grey is turned to RGB in a copy; the others become 8-bit RGB where they are.
      info.pixel_bytes = grey ? 1 + kRgbBytes : pixel;
      return info;
    }
    at += 12 + length;
  }
}

absl::StatusOr<Header> ProbeWebp(Bytes b) {
  Header info;
  info.format = ImageFormat::kWebp;
  const uint64_t riff_end = uint64_t{8} + Little(b, 4, 4);
  if (riff_end > b.size()) {
    return Truncated("WebP");
  }
  bool pixels = false;
  bool lossless = false;
  bool alpha = false;
  std::optional<std::pair<int64_t, int64_t>> canvas;
  for (size_t at = 12; at + 8 <= riff_end;) {
    const absl::string_view type = Text(b, at, 4);
    const uint64_t length = Little(b, at + 4, 4);
    if (length > riff_end - at - 8) {
      return Truncated("WebP");
    }
    const Bytes chunk = b.subspan(at + 8, length);
    if (type == "VP8X" && length >= 10) {
      if (at != 12) {
        return Damaged("WebP", "its header is in the wrong place");
      }
      constexpr uint8_t kAnimation = 0x02;
      if ((chunk[0] & kAnimation) != 0) {
        return absl::InvalidArgumentError("animated WebP isn't supported; send a single picture");
      }
      constexpr uint8_t kAlpha = 0x10;
      alpha = (chunk[0] & kAlpha) != 0;
      canvas = {Little(chunk, 4, 3) + 1, Little(chunk, 7, 3) + 1};
    } else if ((type == "VP8 " && length >= 10) || (type == "VP8L" && length >= 5)) {
      if (pixels) {
        return Damaged("WebP", "it holds two pictures");
      }
      pixels = true;
      if (type == "VP8 ") {
        info.width = Little(chunk, 6, 2) & 0x3FFF;
        info.height = Little(chunk, 8, 2) & 0x3FFF;
      } else {
        lossless = true;
        const uint32_t bits = Little(chunk, 1, 4);
        info.width = (bits & 0x3FFF) + 1;
        info.height = (bits >> 14 & 0x3FFF) + 1;
      }
    } else if (type == "EXIF") {
      const bool prefixed = Text(chunk, 0, 6) == absl::string_view("Exif\0\0", 6);
      info.orientation = ExifOrientation(prefixed ? chunk.subspan(6) : chunk);
    }
    at += 8 + length + length % 2;
  }
  if (!pixels) {
    return Damaged("WebP", "it holds no picture");
  }
  // The decoder goes by the canvas.
  if (canvas.has_value() && *canvas != std::pair(info.width, info.height)) {
    return Damaged("WebP", absl::StrCat("its canvas has ", canvas->first, " x ", canvas->second,
                                        " pixels, its picture ", info.width, " x ", info.height));
  }
  // Lossless, the decoder has four bytes a pixel of its own; of an alpha channel, two.
  info.pixel_bytes = lossless ? 4 + 4 : alpha ? 4 + 2 : kRgbBytes;
  return info;
}

absl::StatusOr<Header> ProbeBmp(Bytes b) {
  Header info;
  info.format = ImageFormat::kBmp;
  if (b.size() < 26) {
    return Truncated("BMP");
  }
  const uint64_t pixels_at = Little(b, 10, 4);
  const uint32_t header = Little(b, 14, 4);
  uint64_t bits = 0;
  uint32_t compression = 0;
  if (header == 12) {  // OS/2
    info.width = Little(b, 18, 2);
    info.height = Little(b, 20, 2);
    bits = Little(b, 24, 2);
  } else {
    if (b.size() < 34 || header < 40) {
      return Damaged("BMP", "its header is short");
    }
    info.width = static_cast<int32_t>(Little(b, 18, 4));
    const int64_t height = static_cast<int32_t>(Little(b, 22, 4));
    info.height = height < 0 ? -height : height;  // negative: the top row comes first
    bits = Little(b, 28, 2);
    compression = Little(b, 30, 4);
  }
  constexpr int64_t kSane = 1 << 20;
  if (info.width < 1 || info.height < 1 || info.width > kSane || info.height > kSane || bits > 32) {
    return info;  // the limits refuse it with its size
  }
  const uint64_t row = (static_cast<uint64_t>(info.width) * bits + 31) / 32 * 4;
  const bool run_length_coded = compression == 1 || compression == 2;
  if (!run_length_coded && (pixels_at > b.size() || row * static_cast<uint64_t>(info.height) > b.size() - pixels_at)) {
    return Truncated("BMP");
  }
  return info;
}

// A name for what was sent instead, so that the message helps.
absl::string_view OtherFormat(Bytes b) {
  struct Magic {
    size_t at;
    absl::string_view bytes;
    absl::string_view name;
  };
  static constexpr Magic kMagics[] = {
      {0, "GIF8", "a GIF"},       {0, {"II*\0", 4}, "a TIFF"},  {0, {"MM\0*", 4}, "a TIFF"},
      {4, "ftypavif", "an AVIF"}, {4, "ftyphei", "a HEIC"},     {4, "ftypmif1", "a HEIC"},
      {0, "%PDF", "a PDF"},       {0, "v/1\x01", "an OpenEXR"}, {4, "jP  ", "a JPEG 2000"},
      {128, "DICM", "a DICOM"},   {0, "<svg", "an SVG"},        {0, "<?xml", "an XML"},
      {0, "PK\x03\x04", "a ZIP"}, {0, "\x1f\x8b", "a gzip"},    {0, "#?RADIANCE", "an HDR"},
  };
  for (const Magic& magic : kMagics) {
    if (Text(b, magic.at, magic.bytes.size()) == magic.bytes) {
      return magic.name;
    }
  }
  return "an unknown kind of";
}

}  // namespace

absl::StatusOr<ImageInfo> ProbeImage(absl::Span<const uint8_t> bytes, const ImageLimits& limits) {
  if (bytes.empty()) {
    return absl::InvalidArgumentError("the image is empty: 0 bytes");
  }
  if (static_cast<int64_t>(bytes.size()) > limits.max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the image has ", bytes.size(), " bytes; at most ", limits.max_bytes, " are accepted"));
  }
  absl::StatusOr<Header> info;
  if (Text(bytes, 0, 3) == "\xFF\xD8\xFF") {
    info = ProbeJpeg(bytes);
  } else if (Text(bytes, 0, 8) == "\x89PNG\r\n\x1A\n") {
    info = ProbePng(bytes);
  } else if (Text(bytes, 0, 4) == "RIFF" && Text(bytes, 8, 4) == "WEBP") {
    info = ProbeWebp(bytes);
  } else if (Text(bytes, 0, 2) == "BM") {
    info = ProbeBmp(bytes);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat(OtherFormat(bytes), " file is not supported; send JPEG, PNG, WebP or BMP"));
  }
  GRAFT_RETURN_IF_ERROR(info.status());
  if (info->width < 1 || info->height < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the image has no pixels: its header says ", info->width, " x ", info->height));
  }
  if (info->width > limits.max_side || info->height > limits.max_side ||
      info->width * info->height > limits.max_pixels) {
    return absl::InvalidArgumentError(absl::StrCat("the image is too large: ", info->width, " x ", info->height,
                                                   " pixels; at most ", limits.max_side, " a side and ",
                                                   limits.max_pixels, " in all are accepted; scale it down"));
  }
  if (info->width * info->height > limits.max_scan_pixels / info->passes) {
    const bool jpeg = info->format == ImageFormat::kJpeg;
    return absl::InvalidArgumentError(absl::StrCat(
        "the image takes too long to decode: ", info->width, " x ", info->height, " pixels, ", info->passes,
        jpeg ? " scans; at most " : " passes; at most ", limits.max_scan_pixels, " as their product are accepted; ",
        jpeg ? "save it with fewer scans, or not progressively" : "save it with 8 bits and not interlaced"));
  }
  if (info->orientation > 4) {  // turned by a quarter: into a copy, when a JPEG's coefficients are gone
    info->pixel_bytes = info->format == ImageFormat::kJpeg ? std::max(info->pixel_bytes, 2.0 * kRgbBytes)
                                                           : info->pixel_bytes + kRgbBytes;
  }
  info->decoded_bytes = static_cast<int64_t>(info->pixel_bytes * static_cast<double>(info->width * info->height));
  if (info->decoded_bytes > limits.max_decoded_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the image takes ", info->decoded_bytes, " bytes of memory to decode; at most ", limits.max_decoded_bytes,
        " are accepted; scale it down, or save it ",
        info->format == ImageFormat::kJpeg ? "not progressively" : "with 8 bits and without transparency"));
  }
  return ImageInfo(*info);
}

}  // namespace graft
