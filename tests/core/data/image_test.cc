// Every kind of image by the documented rule, and every kind of bad one.
#include "core/data/image.h"

#include <zlib.h>

#include <cstring>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <random>

#include "absl/strings/str_split.h"
#include "core/base/safetensors.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;
using Bytes = std::vector<uint8_t>;

Bytes Encode(const std::string& extension, const cv::Mat& image, const std::vector<int>& options = {}) {
  Bytes bytes;
  cv::imencode(extension, image, bytes, options);
  return bytes;
}

// 40 x 20, left half red, right half blue, with a green top row of 4.
cv::Mat Marked() {
  cv::Mat image(20, 40, CV_8UC3, cv::Scalar(0, 0, 255));
  image(cv::Rect(20, 0, 20, 20)).setTo(cv::Scalar(255, 0, 0));
  image(cv::Rect(0, 0, 40, 4)).setTo(cv::Scalar(0, 255, 0));
  return image;
}

std::array<int, 3> Pixel(const RgbImage& image, int x, int y) {
  const uint8_t* p =
      image.pixels.data() + 3 * (static_cast<size_t>(y) * static_cast<size_t>(image.width) + static_cast<size_t>(x));
  return {p[0], p[1], p[2]};
}

void Append(Bytes* bytes, const std::string& text) { bytes->insert(bytes->end(), text.begin(), text.end()); }
std::string BigEndian(uint32_t value, int size) {
  std::string text;
  for (int i = size - 1; i >= 0; --i) {
    text += static_cast<char>(value >> (8 * i));
  }
  return text;
}

// A TIFF block with one entry: orientation.
std::string Exif(int orientation, bool little) {
  if (little) {
    return std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) + static_cast<char>(orientation) +
           std::string(7, '\0');
  }
  return std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19) + static_cast<char>(orientation) +
         std::string(6, '\0');
}

Bytes JpegWithExif(const Bytes& jpeg, int orientation, bool little) {
  const std::string payload = std::string("Exif\0\0", 6) + Exif(orientation, little);
  Bytes out(jpeg.begin(), jpeg.begin() + 2);
  Append(&out, "\xFF\xE1" + BigEndian(static_cast<uint32_t>(payload.size() + 2), 2) + payload);
  out.insert(out.end(), jpeg.begin() + 2, jpeg.end());
  return out;
}

std::string PngChunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto crc =
      static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
  return BigEndian(static_cast<uint32_t>(data.size()), 4) + body + BigEndian(crc, 4);
}

// A chunk right after IHDR.
Bytes PngWith(const Bytes& png, const std::string& type, const std::string& data) {
  constexpr size_t kAfterHeader = 8 + 25;
  Bytes out(png.begin(), png.begin() + kAfterHeader);
  Append(&out, PngChunk(type, data));
  out.insert(out.end(), png.begin() + kAfterHeader, png.end());
  return out;
}

TEST(ImageTest, PhotographsEqualPillowsPixelsByteForByte) {
  ASSERT_OK_AND_ASSIGN(const Safetensors golden, Safetensors::Open(testing::Golden("resize.safetensors")));
  ASSERT_OK_AND_ASSIGN(const TensorView resized, golden.Get("resized", DType::kU8, {16, 150, 150, 3}));
  const TensorView* names = golden.Find("names");
  ASSERT_NE(names, nullptr);
  const std::vector<std::string> files = absl::StrSplit(std::string(names->data.begin(), names->data.end()), '\n');
  ASSERT_EQ(files.size(), 16U);
  for (size_t i = 0; i < files.size(); ++i) {
    Bytes out(150 * 150 * 3);
    ASSERT_THAT(
        DecodeImageTo(testing::ReadBytes(testing::Sample(files[i])), 150, Interpolation::kNearest, absl::MakeSpan(out)),
        IsOk());
    EXPECT_EQ(std::memcmp(out.data(), resized.data.data() + i * out.size(), out.size()), 0) << files[i];
  }
}

TEST(ImageTest, OpaqueFormatsKeepTheirColours) {
  for (const char* extension : {".png", ".bmp"}) {
    ASSERT_OK_AND_ASSIGN(const RgbImage image, DecodeImage(Encode(extension, Marked())));
    EXPECT_EQ(image.width, 40);
    EXPECT_EQ(image.height, 20);
    EXPECT_EQ(Pixel(image, 2, 10), (std::array<int, 3>{255, 0, 0})) << extension;
    EXPECT_EQ(Pixel(image, 38, 10), (std::array<int, 3>{0, 0, 255})) << extension;
    EXPECT_EQ(Pixel(image, 2, 1), (std::array<int, 3>{0, 255, 0})) << extension;
  }
  for (const auto& [extension, options] : {std::pair<std::string, std::vector<int>>{".jpg", {}},
                                           {".jpg", {cv::IMWRITE_JPEG_PROGRESSIVE, 1}},
                                           {".webp", {}}}) {
    ASSERT_OK_AND_ASSIGN(const RgbImage image, DecodeImage(Encode(extension, Marked(), options)));
    const auto red = Pixel(image, 5, 12);
    EXPECT_GT(red[0], 230);
    EXPECT_LT(red[1], 30);
    EXPECT_LT(red[2], 30);
  }
}

TEST(ImageTest, GreySixteenBitAndTransparentFollowTheRule) {
  ASSERT_OK_AND_ASSIGN(const RgbImage grey, DecodeImage(Encode(".png", cv::Mat(3, 3, CV_8UC1, cv::Scalar(77)))));
  EXPECT_EQ(Pixel(grey, 1, 1), (std::array<int, 3>{77, 77, 77}));
  EXPECT_THAT(DecodeImage(Encode(".jpg", cv::Mat(30, 30, CV_8UC1, cv::Scalar(77)))), IsOk());
  ASSERT_OK_AND_ASSIGN(const RgbImage deep,
                       DecodeImage(Encode(".png", cv::Mat(3, 3, CV_16UC3, cv::Scalar(0, 257 * 100, 65535)))));
  EXPECT_EQ(Pixel(deep, 0, 0), (std::array<int, 3>{255, 100, 0}));
  // Alpha 0 is white, 255 the colour, 51 (a fifth) a fifth of it.
  for (const auto& [alpha, expected] :
       {std::pair{0, std::array<int, 3>{255, 255, 255}}, {255, {0, 100, 200}}, {51, {204, 224, 244}}}) {
    ASSERT_OK_AND_ASSIGN(const RgbImage image,
                         DecodeImage(Encode(".png", cv::Mat(3, 3, CV_8UC4, cv::Scalar(200, 100, 0, alpha)))));
    EXPECT_EQ(Pixel(image, 1, 1), expected) << alpha;
  }
  ASSERT_OK_AND_ASSIGN(const RgbImage webp, DecodeImage(Encode(".webp", cv::Mat(8, 8, CV_8UC4, cv::Scalar(0, 0, 0, 0)),
                                                               {cv::IMWRITE_WEBP_QUALITY, 101})));
  EXPECT_EQ(Pixel(webp, 4, 4), (std::array<int, 3>{255, 255, 255}));
}

// A two-colour palette, written by hand: OpenCV writes none.
TEST(ImageTest, PaletteImagesBecomeRgb) {
  Bytes png;
  Append(&png, "\x89PNG\r\n\x1A\n" +
                   PngChunk("IHDR", BigEndian(8, 4) + BigEndian(1, 4) + std::string("\x01\x03\0\0\0", 5)) +
                   PngChunk("PLTE", std::string("\x0A\x14\x1E\xC8\x64\x32", 6)));
  const std::string row("\0\x0F", 2);  // no filter; four pixels of colour 0, four of colour 1
  std::string packed(100, '\0');
  uLongf size = packed.size();
  ASSERT_EQ(
      compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(row.data()), row.size()),
      Z_OK);
  packed.resize(size);
  Append(&png, PngChunk("IDAT", packed) + PngChunk("IEND", ""));
  ASSERT_OK_AND_ASSIGN(const RgbImage image, DecodeImage(png));
  EXPECT_EQ(Pixel(image, 0, 0), (std::array<int, 3>{10, 20, 30}));
  EXPECT_EQ(Pixel(image, 7, 0), (std::array<int, 3>{200, 100, 50}));
}

TEST(ImageTest, AllEightOrientationsAreApplied) {
  // Where the green row (top), red half (left) and blue half (right) end up.
  const auto colour = [](const std::array<int, 3>& p) {
    return p[0] > 150 ? 'r' : p[1] > 150 ? 'g' : p[2] > 150 ? 'b' : '?';
  };
  const std::vector<std::pair<int, std::array<char, 4>>> cases = {
      // left, right, top, bottom ('-': red and blue meet there)
      {1, {'r', 'b', 'g', '-'}}, {2, {'b', 'r', 'g', '-'}}, {3, {'b', 'r', '-', 'g'}}, {4, {'r', 'b', '-', 'g'}},
      {5, {'g', '-', 'r', 'b'}}, {6, {'-', 'g', 'r', 'b'}}, {7, {'-', 'g', 'b', 'r'}}, {8, {'g', '-', 'b', 'r'}}};
  const Bytes png = Encode(".png", Marked());
  const Bytes jpeg = Encode(".jpg", Marked(), {cv::IMWRITE_JPEG_QUALITY, 98});
  for (const auto& [orientation, edges] : cases) {
    for (const Bytes& bytes : {PngWith(png, "eXIf", Exif(orientation, false)), JpegWithExif(jpeg, orientation, true),
                               JpegWithExif(jpeg, orientation, false)}) {
      ASSERT_OK_AND_ASSIGN(const RgbImage image, DecodeImage(bytes));
      EXPECT_EQ(image.width, orientation < 5 ? 40 : 20);
      const int w = image.width;
      const int h = image.height;
      const std::array<char, 4> found = {colour(Pixel(image, 1, h / 2)), colour(Pixel(image, w - 2, h / 2)),
                                         colour(Pixel(image, w / 2, 1)), colour(Pixel(image, w / 2, h - 2))};
      for (size_t i = 0; i < 4; ++i) {
        if (edges[i] != '-') {
          EXPECT_EQ(found[i], edges[i]) << "orientation " << orientation << ", edge " << i;
        }
      }
    }
  }
  EXPECT_EQ(DecodeImage(JpegWithExif(jpeg, 9, true))->width, 40);  // no such value: as it is
}

TEST(ImageTest, ExtremeShapesAndJunkBehindTheEndAreFine) {
  for (const cv::Size size : {cv::Size(1, 1), cv::Size(1, 4000), cv::Size(4000, 1)}) {
    Bytes out(32 * 32 * 3);
    for (const char* extension : {".jpg", ".png", ".bmp"}) {
      EXPECT_THAT(DecodeImageTo(Encode(extension, cv::Mat(size, CV_8UC3, cv::Scalar(1, 2, 3))), 32,
                                Interpolation::kArea, absl::MakeSpan(out)),
                  IsOk())
          << extension;
    }
  }
  Bytes bytes = Encode(".jpg", Marked());
  Append(&bytes, "junk behind the end");
  EXPECT_THAT(DecodeImage(bytes), IsOk());
}

TEST(ImageTest, TruncatedFilesAreRefused) {
  cv::Mat noise(60, 60, CV_8UC3);
  cv::RNG(3).fill(noise, cv::RNG::UNIFORM, 0, 255);
  for (const char* extension : {".jpg", ".png", ".webp", ".bmp"}) {
    const Bytes whole = Encode(extension, noise);
    ASSERT_THAT(DecodeImage(whole), IsOk()) << extension;
    for (size_t percent = 5; percent < 100; percent += 5) {
      const size_t size = whole.size() * percent / 100;
      EXPECT_THAT(DecodeImage(absl::MakeConstSpan(whole).first(size)),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("truncated")))
          << extension << " cut to " << percent << " %";
    }
  }
  const Bytes real = testing::ReadBytes(testing::Sample("cat.0.jpg"));
  EXPECT_THAT(DecodeImage(absl::MakeConstSpan(real).first(real.size() - 2)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("truncated")));
}

TEST(ImageTest, BombsAreRefusedByTheirHeaders) {
  const std::string side = BigEndian(40'000, 4);
  Bytes png;
  Append(&png, "\x89PNG\r\n\x1A\n" + PngChunk("IHDR", side + side + std::string("\x01\0\0\0\0", 5)) +
                   PngChunk("IDAT", "x") + PngChunk("IEND", ""));
  Bytes jpeg = Encode(".jpg", Marked());
  for (size_t i = 0; i + 9 < jpeg.size(); ++i) {
    if (jpeg[i] == 0xFF && jpeg[i + 1] == 0xC0) {
      const std::string size = BigEndian(40'000, 2);
      std::copy(size.begin(), size.end(), jpeg.begin() + static_cast<std::ptrdiff_t>(i) + 5);
      std::copy(size.begin(), size.end(), jpeg.begin() + static_cast<std::ptrdiff_t>(i) + 7);
      break;
    }
  }
  Bytes bmp = Encode(".bmp", Marked());
  std::memcpy(bmp.data() + 18, "\x40\x9c\0\0\x40\x9c\0\0", 8);
  bmp[30] = 1;  // run-length coded: its size doesn't show in the file's
  for (const Bytes& bytes : {png, jpeg, bmp}) {
    EXPECT_THAT(DecodeImage(bytes), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("40000 x 40000")));
  }
  ImageLimits limits;
  limits.max_pixels = 800;
  EXPECT_THAT(DecodeImage(Encode(".png", Marked()), limits), IsOk());
  limits.max_pixels = 799;
  EXPECT_THAT(DecodeImage(Encode(".png", Marked()), limits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too large")));
  limits = {};
  limits.max_bytes = 10;
  EXPECT_THAT(DecodeImage(Encode(".png", Marked()), limits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 10")));
}

TEST(ImageTest, OtherFormatsAreRefusedByName) {
  for (const auto& [content, name] : {std::pair<std::string, std::string>{"GIF89a....", "a GIF"},
                                      {std::string("II*\0....", 8), "a TIFF"},
                                      {"%PDF-1.7", "a PDF"},
                                      {"<svg xmlns", "an SVG"},
                                      {"....ftypheic....", "a HEIC"},
                                      {"....ftypavif....", "an AVIF"},
                                      {"PK\x03\x04", "a ZIP"},
                                      {"hello, world", "unknown"},
                                      {"", "empty"}}) {
    EXPECT_THAT(DecodeImage(Bytes(content.begin(), content.end())),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)));
  }
  EXPECT_THAT(DecodeImage(PngWith(Encode(".png", Marked()), "acTL", std::string(8, '\0'))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("animated PNG")));
  Bytes damaged = Encode(".png", Marked());
  damaged[45] ^= 1;
  EXPECT_THAT(DecodeImage(damaged), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("checksum")));
}

TEST(ImageTest, RandomMutationsGiveAnImageOrInvalidArgument) {
  std::mt19937 random(5);
  for (const char* extension : {".jpg", ".png", ".webp", ".bmp"}) {
    const Bytes whole = Encode(extension, Marked());
    for (int i = 0; i < 1500; ++i) {
      Bytes mutated = whole;
      for (unsigned n = 0; n <= random() % 4; ++n) {
        mutated[random() % mutated.size()] = static_cast<uint8_t>(random());
      }
      const auto image = DecodeImage(mutated);
      EXPECT_TRUE(image.ok() || absl::IsInvalidArgument(image.status()) || absl::IsInternal(image.status()))
          << extension << " " << image.status();
    }
  }
}

}  // namespace
}  // namespace graft
