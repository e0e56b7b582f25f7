// Every kind of image by the documented rule, and every kind of bad one.
#include "core/data/image.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <random>
#include <tuple>

#include "absl/strings/str_split.h"
#include "core/base/safetensors.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
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

// A PNG of 8 x 1 pixels: its colour type and depth, chunks before the pixels, and the row itself.
Bytes PngRow(char colour_type, char depth, const std::string& chunks, const std::string& row) {
  const std::string filtered = '\0' + row;
  std::string packed(compressBound(filtered.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(filtered.data()),
           filtered.size());
  packed.resize(size);
  Bytes png;
  Append(&png, "\x89PNG\r\n\x1A\n" +
                   PngChunk("IHDR", BigEndian(8, 4) + BigEndian(1, 4) + depth + colour_type + std::string(3, '\0')) +
                   chunks + PngChunk("IDAT", packed) + PngChunk("IEND", ""));
  return png;
}

// Where the segment with this marker starts.
size_t FindMarker(const Bytes& jpeg, uint8_t marker) {
  const Bytes wanted = {0xFF, marker};
  return static_cast<size_t>(std::search(jpeg.begin(), jpeg.end(), wanted.begin(), wanted.end()) - jpeg.begin());
}

// A file of tests/data.
Bytes Data(const std::string& name) {
  return testing::ReadBytes(std::filesystem::path(GRAFT_SOURCE_DIR) / "tests" / "data" / name);
}

TEST(ImageTest, PhotographsEqualPillowsPixelsByteForByte) {
  ASSERT_OK_AND_ASSIGN(const Safetensors golden, Safetensors::Open(testing::Golden("resize.safetensors")));
  ASSERT_OK_AND_ASSIGN(const TensorView resized, golden.Get("resized", DType::kU8, {16, 150, 150, 3}));
  const TensorView* names = golden.Find("names");
  ASSERT_NE(names, nullptr);
  const std::vector<std::string> files = absl::StrSplit(std::string(names->data.begin(), names->data.end()), '\n');
  ASSERT_EQ(files.size(), 16U);
  for (size_t i = 0; i < files.size(); ++i) {
    Bytes out(size_t{150} * 150 * 3);
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
  ASSERT_OK_AND_ASSIGN(const RgbImage grey_jpeg, DecodeImage(Encode(".jpg", cv::Mat(30, 30, CV_8UC1, cv::Scalar(77)))));
  EXPECT_EQ(Pixel(grey_jpeg, 15, 15), (std::array<int, 3>{77, 77, 77}));
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
  ASSERT_OK_AND_ASSIGN(const RgbImage fifth,
                       DecodeImage(Encode(".webp", cv::Mat(8, 8, CV_8UC4, cv::Scalar(200, 100, 0, 51)),
                                          {cv::IMWRITE_WEBP_QUALITY, 101})));
  EXPECT_EQ(Pixel(fifth, 4, 4), (std::array<int, 3>{204, 224, 244}));
}

// Written by hand: OpenCV writes no palette and no tRNS chunk.
TEST(ImageTest, PaletteImagesBecomeRgb) {
  const std::string palette = PngChunk("PLTE", std::string("\x0A\x14\x1E\xC8\x64\x32", 6));
  ASSERT_OK_AND_ASSIGN(const RgbImage image, DecodeImage(PngRow(3, 1, palette, "\x0F")));
  EXPECT_EQ(Pixel(image, 0, 0), (std::array<int, 3>{10, 20, 30}));
  EXPECT_EQ(Pixel(image, 7, 0), (std::array<int, 3>{200, 100, 50}));
  // The second colour has alpha 51.
  ASSERT_OK_AND_ASSIGN(const RgbImage clear, DecodeImage(PngRow(3, 1, palette + PngChunk("tRNS", "\xFF\x33"), "\x0F")));
  EXPECT_EQ(Pixel(clear, 0, 0), (std::array<int, 3>{10, 20, 30}));
  EXPECT_EQ(Pixel(clear, 7, 0), (std::array<int, 3>{244, 224, 214}));
}

TEST(ImageTest, TransparentGreysAreWhite) {
  // Grey with alpha, 8 bits each: 100 opaque, then 100 with a fifth.
  ASSERT_OK_AND_ASSIGN(const RgbImage alpha,
                       DecodeImage(PngRow(4, 8, "", "\x64\xFF\x64\x33" + std::string(12, '\xFF'))));
  EXPECT_EQ(Pixel(alpha, 0, 0), (std::array<int, 3>{100, 100, 100}));
  EXPECT_EQ(Pixel(alpha, 1, 0), (std::array<int, 3>{224, 224, 224}));
  // One grey stands for transparency: of 8, of 2 (0, 85, 170, 255) and of 16 bits.
  ASSERT_OK_AND_ASSIGN(const RgbImage eight, DecodeImage(PngRow(0, 8, PngChunk("tRNS", BigEndian(7, 2)),
                                                                "\x07\x08" + std::string(6, '\x64'))));
  EXPECT_EQ(Pixel(eight, 0, 0), (std::array<int, 3>{255, 255, 255}));
  EXPECT_EQ(Pixel(eight, 1, 0), (std::array<int, 3>{8, 8, 8}));
  ASSERT_OK_AND_ASSIGN(const RgbImage two,
                       DecodeImage(PngRow(0, 2, PngChunk("tRNS", BigEndian(1, 2)), "\x1B\x1B")));  // 0, 1, 2, 3
  EXPECT_EQ(Pixel(two, 0, 0), (std::array<int, 3>{0, 0, 0}));
  EXPECT_EQ(Pixel(two, 1, 0), (std::array<int, 3>{255, 255, 255}));
  EXPECT_EQ(Pixel(two, 2, 0), (std::array<int, 3>{170, 170, 170}));
  std::string row;
  for (const uint32_t grey : {1000U, 1001U, 25700U, 25700U, 25700U, 25700U, 25700U, 25700U}) {
    row += BigEndian(grey, 2);
  }
  ASSERT_OK_AND_ASSIGN(const RgbImage sixteen, DecodeImage(PngRow(0, 16, PngChunk("tRNS", BigEndian(1000, 2)), row)));
  EXPECT_EQ(Pixel(sixteen, 0, 0), (std::array<int, 3>{255, 255, 255}));
  EXPECT_EQ(Pixel(sixteen, 1, 0), (std::array<int, 3>{4, 4, 4}));
  EXPECT_EQ(Pixel(sixteen, 2, 0), (std::array<int, 3>{100, 100, 100}));
}

TEST(ImageTest, OtherProgramsFilesFollowTheRule) {
  ASSERT_OK_AND_ASSIGN(const RgbImage cmyk, DecodeImage(Data("cmyk.jpg")));
  const auto near = [](const std::array<int, 3>& found, const std::array<int, 3>& expected) {
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(found[c], expected[c], 4);
    }
  };
  near(Pixel(cmyk, 2, 2), {215, 46, 63});
  near(Pixel(cmyk, 29, 13), {27, 73, 195});

  Bytes webp = Data("orientation.webp");
  ASSERT_OK_AND_ASSIGN(const RgbImage turned, DecodeImage(webp));
  EXPECT_EQ(turned.width, 16);
  EXPECT_EQ(turned.height, 32);
  EXPECT_EQ(Pixel(turned, 2, 2), (std::array<int, 3>{200, 40, 60}));
  EXPECT_EQ(Pixel(turned, 13, 29), (std::array<int, 3>{20, 60, 210}));
  ASSERT_EQ(webp[95], 6);  // its orientation
  webp[95] = 3;
  ASSERT_OK_AND_ASSIGN(const RgbImage upside_down, DecodeImage(webp));
  EXPECT_EQ(upside_down.width, 32);
  EXPECT_EQ(Pixel(upside_down, 2, 2), (std::array<int, 3>{20, 60, 210}));

  EXPECT_THAT(DecodeImage(Data("animated.webp")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("animated WebP")));
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
    Bytes out(size_t{32} * 32 * 3);
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
  limits.max_pixels = 799;
  EXPECT_THAT(DecodeImage(Encode(".png", Marked()), limits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too large")));
  limits = {};
  limits.max_bytes = 10;
  EXPECT_THAT(DecodeImage(Encode(".png", Marked()), limits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 10")));
}

// The size that is checked must be the one that the decoder allocates.
TEST(ImageTest, FilesThatSpeakOfTwoSizesAreRefused) {
  const auto damaged = [](const std::string& what) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what));
  };
  // A JPEG whose first frame header is huge, and whose scan is followed by the small one.
  const Bytes jpeg = Encode(".jpg", Marked());
  const size_t frame = FindMarker(jpeg, 0xC0);
  const Bytes header(jpeg.begin() + static_cast<std::ptrdiff_t>(frame),
                     jpeg.begin() + static_cast<std::ptrdiff_t>(frame) + 19);
  Bytes two_frames = jpeg;
  std::fill_n(two_frames.begin() + static_cast<std::ptrdiff_t>(frame) + 5, 4, uint8_t{0x7D});
  two_frames.insert(two_frames.end() - 2, header.begin(), header.end());
  EXPECT_THAT(DecodeImage(two_frames), damaged("two frame headers"));
  Bytes no_frame = jpeg;
  no_frame.erase(no_frame.begin() + static_cast<std::ptrdiff_t>(frame),
                 no_frame.begin() + static_cast<std::ptrdiff_t>(frame) + 19);
  EXPECT_THAT(DecodeImage(no_frame), damaged("frame header is missing"));

  const std::string small = BigEndian(8, 4) + BigEndian(1, 4) + std::string("\x08\0\0\0\0", 5);
  EXPECT_THAT(DecodeImage(PngRow(0, 8, PngChunk("IHDR", small), std::string(8, 'x'))), damaged("comes twice"));
  Bytes headless;
  Append(&headless, "\x89PNG\r\n\x1A\n" + PngChunk("IDAT", "x") + PngChunk("IEND", ""));
  EXPECT_THAT(DecodeImage(headless), damaged("header is missing"));

  Bytes canvas = Data("orientation.webp");
  canvas[24] = 0x20;  // 33 wide
  EXPECT_THAT(DecodeImage(canvas), damaged("33 x 16"));
  canvas[25] = 0xFF;
  canvas[26] = 0xFF;
  EXPECT_THAT(DecodeImage(canvas), damaged("its picture 32 x 16"));
  // Its picture twice.
  Bytes twice = Data("orientation.webp");
  const std::string picture(twice.begin() + 30, twice.begin() + 30 + 38);
  ASSERT_EQ(picture.substr(0, 4), "VP8L");
  Append(&twice, picture);
  twice[4] = static_cast<uint8_t>(twice.size() - 8);
  EXPECT_THAT(DecodeImage(twice), damaged("two pictures"));
}

// Each scan costs the decoder a pass over all pixels, however few bytes it has.
TEST(ImageTest, JpegsWithCountlessScansAreRefused) {
  const Bytes jpeg = Encode(".jpg", Marked(), {cv::IMWRITE_JPEG_PROGRESSIVE, 1});
  ASSERT_THAT(DecodeImage(jpeg), IsOk());
  const auto scan = jpeg.begin() + static_cast<std::ptrdiff_t>(FindMarker(jpeg, 0xDA));
  const Bytes header(scan, scan + 2 + scan[3]);
  Bytes many = jpeg;
  for (int i = 0; i < 200; ++i) {
    many.insert(many.end() - 2, header.begin(), header.end());
  }
  EXPECT_THAT(DecodeImage(many), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("scans")));
}

// Changes what its frame header says of a JPEG's size.
Bytes JpegOfSize(Bytes jpeg, uint32_t width, uint32_t height) {
  for (const uint8_t frame : {0xC0, 0xC2}) {
    if (const size_t at = FindMarker(jpeg, frame); at < jpeg.size()) {
      const std::string size = BigEndian(height, 2) + BigEndian(width, 2);
      std::copy(size.begin(), size.end(), jpeg.begin() + static_cast<std::ptrdiff_t>(at) + 5);
    }
  }
  return jpeg;
}

// A progressive JPEG with this many scans.
Bytes JpegWithScans(int scans) {
  Bytes jpeg = Encode(".jpg", Marked(), {cv::IMWRITE_JPEG_PROGRESSIVE, 1});
  const auto at = jpeg.begin() + static_cast<std::ptrdiff_t>(FindMarker(jpeg, 0xDA));
  const Bytes header(at, at + 2 + at[3]);
  for (int i = ProbeImage(jpeg)->passes; i < scans; ++i) {
    jpeg.insert(jpeg.end() - 2, header.begin(), header.end());
  }
  return jpeg;
}

TEST(ImageCostTest, PixelsTimesScansAreBounded) {
  ASSERT_OK_AND_ASSIGN(const ImageInfo info, ProbeImage(JpegWithScans(0)));
  EXPECT_EQ(info.passes, 10);  // what libjpeg writes
  // Photographs as cameras and editors make them.
  for (const auto& [width, height, scans] :
       {std::tuple{6000U, 4000U, 10}, {6000U, 4000U, 20}, {8000U, 6000U, 10}, {1000U, 1000U, 200}}) {
    EXPECT_THAT(ProbeImage(JpegOfSize(JpegWithScans(scans), width, height)), IsOk()) << width << " " << scans;
  }
  EXPECT_THAT(
      ProbeImage(JpegOfSize(JpegWithScans(200), 7000, 7000)),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("7000 x 7000"), HasSubstr("200 scans"),
                                                         HasSubstr("at most 500000000"), HasSubstr("fewer scans"))));
  EXPECT_THAT(ProbeImage(JpegOfSize(JpegWithScans(11), 7000, 7000)), StatusIs(absl::StatusCode::kInvalidArgument, _));
  const Bytes jpeg = JpegWithScans(20);  // 40 x 20
  EXPECT_THAT(ProbeImage(jpeg, {.max_scan_pixels = 800 * 20}), IsOk());
  EXPECT_THAT(ProbeImage(jpeg, {.max_scan_pixels = 800 * 20 - 1}), StatusIs(absl::StatusCode::kInvalidArgument, _));
}

// A PNG of one row whose header says another size.
Bytes PngOfSize(uint32_t width, uint32_t height, char colour_type, char depth, char interlaced) {
  Bytes png;
  Append(&png, "\x89PNG\r\n\x1A\n" +
                   PngChunk("IHDR", BigEndian(width, 4) + BigEndian(height, 4) + depth + colour_type +
                                        std::string(2, '\0') + interlaced) +
                   PngChunk("IDAT", "x") + PngChunk("IEND", ""));
  return png;
}

TEST(ImageCostTest, PngsCountTheirBytesAPixelAndInterlacedOnesTwice) {
  for (const auto& [colour_type, depth, bytes] : {std::tuple{'\0', '\x08', 1},
                                                  {'\x02', '\x08', 3},
                                                  {'\x03', '\x08', 3},
                                                  {'\x06', '\x08', 4},
                                                  {'\x06', '\x10', 8}}) {
    EXPECT_EQ(ProbeImage(PngOfSize(10, 10, colour_type, depth, 0))->passes, bytes);
    EXPECT_EQ(ProbeImage(PngOfSize(10, 10, colour_type, depth, 1))->passes, 2 * bytes);
  }
  EXPECT_THAT(ProbeImage(PngOfSize(7000, 7000, 6, 16, 0)), IsOk());
  EXPECT_THAT(ProbeImage(PngOfSize(7000, 7000, 6, 16, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("16 passes"), HasSubstr("interlaced"))));
}

TEST(ImageCostTest, ArithmeticCodingIsRefused) {
  Bytes jpeg = Encode(".jpg", Marked());
  jpeg[FindMarker(jpeg, 0xC0) + 1] = 0xC9;
  EXPECT_THAT(DecodeImage(jpeg),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("arithmetic"), HasSubstr("Huffman"))));
}

TEST(ImageCostTest, MemoryIsBounded) {
  const Bytes png = PngOfSize(5000, 5000, 6, 16, 0);
  EXPECT_EQ(ProbeImage(png)->decoded_bytes, 200'000'000);
  EXPECT_THAT(ProbeImage(png, {.max_decoded_bytes = 200'000'000}), IsOk());
  EXPECT_THAT(ProbeImage(png, {.max_decoded_bytes = 199'999'999}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("200000000 bytes"), HasSubstr("at most 199999999"), HasSubstr("8 bits"))));
  // Coefficients of all components at full size, two bytes each, and the pixels.
  Bytes full = Encode(".jpg", Marked(), {cv::IMWRITE_JPEG_PROGRESSIVE, 1});
  full[FindMarker(full, 0xC2) + 11] = 0x11;  // the first component's sampling
  EXPECT_EQ(ProbeImage(full)->decoded_bytes, 800 * (3 + 6));
  EXPECT_EQ(ProbeImage(Encode(".jpg", Marked(), {cv::IMWRITE_JPEG_PROGRESSIVE, 1}))->decoded_bytes, 800 * (3 + 3));
  EXPECT_EQ(ProbeImage(Encode(".jpg", Marked()))->decoded_bytes, 800 * 3);
  EXPECT_EQ(ProbeImage(JpegWithExif(Encode(".jpg", Marked()), 6, true))->decoded_bytes, 800 * 6);  // turned: a copy
  EXPECT_THAT(ProbeImage(JpegOfSize(full, 7000, 7000)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not progressively")));
}

TEST(ImageCostTest, WhoHasGoneGetsNothing) {
  const Bytes jpeg = testing::ReadBytes(testing::Sample("cat.0.jpg"));
  ASSERT_OK_AND_ASSIGN(const ImageInfo info, ProbeImage(jpeg));
  Bytes out(size_t{8} * 8 * 3);
  for (const int patience : {0, 1, 2}) {
    int asked = 0;
    const absl::Status status =
        DecodeImageTo(jpeg, info, 8, Interpolation::kArea, absl::MakeSpan(out), [&] { return asked++ == patience; });
    EXPECT_EQ(status.code(), patience < 2 ? absl::StatusCode::kCancelled : absl::StatusCode::kOk) << patience;
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which need address space of their own
// From the start of the program: large blocks come from the system and go back to it, and OpenCV's threads reserve no
// memory of their own. Otherwise what was freed or reserved before could be taken whatever the limit says.
const bool kMapped = mallopt(M_MMAP_THRESHOLD, 1 << 16) == 1 && mallopt(M_ARENA_MAX, 1) == 1;

// What a decode of `bytes` says in a process that may take so much more memory than it has; -1 when it died of it.
int DecodeWithin(const Bytes& bytes, int64_t memory) {
  const pid_t child = fork();
  if (child == 0) {
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const auto limit = static_cast<rlim_t>(pages * getpagesize() + memory);
    const rlimit limits{limit, limit};
    setrlimit(RLIMIT_AS, &limits);
    std::freopen("/dev/null", "w", stderr);  // OpenCV reports what it throws
    Bytes out(size_t{32} * 32 * 3);
    _exit(static_cast<int>(DecodeImageTo(bytes, 32, Interpolation::kArea, absl::MakeSpan(out)).code()));
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// It takes what the header said and not much more; with less, memory is what is missing, and never is the image blamed
// nor does the process die.
TEST(ImageCostTest, DecodingTakesTheMemoryThatWasForetold) {
  cv::Mat noise(1200, 1200, CV_8UC3);
  cv::RNG(3).fill(noise, cv::RNG::UNIFORM, 0, 255);
  cv::GaussianBlur(noise, noise, cv::Size(9, 9), 0);
  cv::Mat alpha(noise.size(), CV_8UC4);
  cv::cvtColor(noise, alpha, cv::COLOR_BGR2BGRA);
  alpha.forEach<cv::Vec4b>([](cv::Vec4b& pixel, const int* at) { pixel[3] = static_cast<uint8_t>(at[0] + at[1]); });
  const auto deep = [](const cv::Mat& image) {
    cv::Mat result;
    image.convertTo(result, CV_16U, 257);
    return result;
  };
  cv::Mat grey(noise.size(), CV_8UC1);
  cv::cvtColor(noise, grey, cv::COLOR_BGR2GRAY);
  constexpr int64_t kSlack = 2 << 20;  // for tables and rows
  ASSERT_TRUE(kMapped);
  for (const auto& [name, bytes] : {std::pair<const char*, Bytes>{"JPEG", Encode(".jpg", noise)},
                                    {"progressive JPEG", Encode(".jpg", noise, {cv::IMWRITE_JPEG_PROGRESSIVE, 1})},
                                    {"turned JPEG", JpegWithExif(Encode(".jpg", noise), 6, true)},
                                    {"PNG", Encode(".png", noise)},
                                    {"grey PNG", Encode(".png", grey)},
                                    {"16-bit grey PNG", Encode(".png", deep(grey))},
                                    {"PNG with alpha", Encode(".png", alpha)},
                                    {"16-bit PNG", Encode(".png", deep(noise))},
                                    {"16-bit PNG with alpha", Encode(".png", deep(alpha))},
                                    {"WebP", Encode(".webp", noise, {cv::IMWRITE_WEBP_QUALITY, 80})},
                                    {"WebP with alpha", Encode(".webp", alpha, {cv::IMWRITE_WEBP_QUALITY, 80})},
                                    {"lossless WebP", Encode(".webp", noise, {cv::IMWRITE_WEBP_QUALITY, 101})},
                                    {"BMP", Encode(".bmp", noise)}}) {
    ASSERT_OK_AND_ASSIGN(const ImageInfo info, ProbeImage(bytes));
    EXPECT_EQ(DecodeWithin(bytes, info.decoded_bytes + kSlack), 0) << name;
    for (const int tenth : {0, 2, 4, 6, 8}) {
      const int code = DecodeWithin(bytes, info.decoded_bytes * tenth / 10);
      EXPECT_TRUE(code == static_cast<int>(absl::StatusCode::kResourceExhausted) || code == 0)
          << name << " with " << tenth << " tenths: " << code;
      if (tenth < 4) {
        EXPECT_NE(code, 0) << name << " with " << tenth << " tenths";
      }
    }
  }
}
#endif

// By OpenCV, in copies.
TEST(ImageTest, DeepAndTransparentPixelsAreTurnedToBytesAsBefore) {
  cv::Mat deep(256, 256, CV_16UC4);
  cv::RNG(7).fill(deep, cv::RNG::UNIFORM, 0, 65536);
  for (int i = 0; i < 65536; ++i) {  // each value once
    deep.at<cv::Vec4w>(i / 256, i % 256)[1] = static_cast<uint16_t>(i);
  }
  cv::Mat opaque;
  cv::cvtColor(deep, opaque, cv::COLOR_BGRA2BGR);
  cv::Mat bytes;
  deep.convertTo(bytes, CV_8U, 1.0 / 257.0);
  ASSERT_OK_AND_ASSIGN(const RgbImage narrowed, DecodeImage(Encode(".png", opaque)));
  ASSERT_OK_AND_ASSIGN(const RgbImage from_deep, DecodeImage(Encode(".png", deep)));
  ASSERT_OK_AND_ASSIGN(const RgbImage from_bytes, DecodeImage(Encode(".png", bytes)));
  for (int y = 0; y < 256; ++y) {
    for (int x = 0; x < 256; ++x) {
      const auto bgra = bytes.at<cv::Vec4b>(y, x);
      EXPECT_EQ(Pixel(narrowed, x, y), (std::array<int, 3>{bgra[2], bgra[1], bgra[0]}));
      const auto over_white = [&](int c) { return (bgra[c] * bgra[3] + 255 * (255 - bgra[3]) + 127) / 255; };
      const std::array<int, 3> expected = {over_white(2), over_white(1), over_white(0)};
      EXPECT_EQ(Pixel(from_deep, x, y), expected);
      EXPECT_EQ(Pixel(from_bytes, x, y), expected);
    }
  }
}

TEST(ImageTest, ImagesWithoutPixelsAreRefused) {
  Bytes jpeg = Encode(".jpg", Marked());
  const size_t frame = FindMarker(jpeg, 0xC0);
  Bytes headers(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(FindMarker(jpeg, 0xDA)));
  Append(&headers, "\xFF\xD9");
  EXPECT_THAT(DecodeImage(headers), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no picture")));
  jpeg[frame + 7] = jpeg[frame + 8] = 0;
  Bytes png;
  Append(&png, "\x89PNG\r\n\x1A\n" +
                   PngChunk("IHDR", BigEndian(0, 4) + BigEndian(9, 4) + std::string("\x08\0\0\0\0", 5)) +
                   PngChunk("IDAT", "x") + PngChunk("IEND", ""));
  Bytes bmp = Encode(".bmp", Marked());
  std::fill_n(bmp.begin() + 18, 4, uint8_t{0});
  Bytes backwards = Encode(".bmp", Marked());
  std::fill_n(backwards.begin() + 18, 4, uint8_t{0xFF});
  Bytes webp = Encode(".webp", Marked(), {cv::IMWRITE_WEBP_QUALITY, 80});
  ASSERT_EQ(std::string(webp.begin() + 12, webp.begin() + 16), "VP8 ");
  webp[26] = webp[27] = 0;
  for (const Bytes& bytes : {jpeg, png, bmp, backwards, webp}) {
    EXPECT_THAT(DecodeImage(bytes), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no pixels")));
  }
}

TEST(ImageTest, LimitsHoldToThePixelAndTheByte) {
  const Bytes png = Encode(".png", Marked());  // 40 x 20
  const auto code = [&](const ImageLimits& limits) { return ProbeImage(png, limits).status().code(); };
  const auto size = static_cast<int64_t>(png.size());
  EXPECT_EQ(code({.max_bytes = size}), absl::StatusCode::kOk);
  EXPECT_EQ(code({.max_bytes = size - 1}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.max_side = 40}), absl::StatusCode::kOk);
  EXPECT_EQ(code({.max_side = 39}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.max_pixels = 800}), absl::StatusCode::kOk);
  EXPECT_EQ(code({.max_pixels = 799}), absl::StatusCode::kInvalidArgument);
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

// Makes a PNG's checksums right again, so that what was changed gets as far as the decoder.
void RepairChecksums(Bytes* png) {
  for (size_t at = 8; at + 12 <= png->size();) {
    const uint8_t* chunk = png->data() + at;
    const size_t length = (size_t{chunk[0]} << 24) + (size_t{chunk[1]} << 16) + (size_t{chunk[2]} << 8) + chunk[3];
    if (length > png->size() - at - 12) {
      return;
    }
    const std::string crc = BigEndian(static_cast<uint32_t>(crc32(0, chunk + 4, static_cast<uInt>(length + 4))), 4);
    std::copy(crc.begin(), crc.end(), png->begin() + static_cast<std::ptrdiff_t>(at + 8 + length));
    at += 12 + length;
  }
}

TEST(ImageTest, RandomMutationsGiveAnImageOrInvalidArgument) {
  const std::vector<std::pair<std::string, Bytes>> corpus = {
      {"JPEG", Encode(".jpg", Marked())},
      {"progressive JPEG", Encode(".jpg", Marked(), {cv::IMWRITE_JPEG_PROGRESSIVE, 1})},
      {"CMYK JPEG", Data("cmyk.jpg")},
      {"JPEG with EXIF", JpegWithExif(Encode(".jpg", Marked()), 6, true)},
      {"PNG", Encode(".png", Marked())},
      {"16-bit PNG", Encode(".png", cv::Mat(9, 9, CV_16UC3, cv::Scalar(1, 2000, 40000)))},
      {"palette PNG", PngRow(3, 1, PngChunk("PLTE", "abcdef") + PngChunk("tRNS", "\x33\x44"), "\x0F")},
      {"grey PNG", PngRow(0, 8, PngChunk("tRNS", BigEndian(7, 2)), "\x07\x08 abcdef")},
      {"WebP", Encode(".webp", Marked(), {cv::IMWRITE_WEBP_QUALITY, 80})},
      {"WebP with EXIF", Data("orientation.webp")},
      {"BMP", Encode(".bmp", Marked())},
      {"BMP with alpha", Encode(".bmp", cv::Mat(9, 9, CV_8UC4, cv::Scalar(1, 2, 3, 4)))},
  };
  for (const auto& [name, whole] : corpus) {
    std::mt19937 random(5);
    for (int i = 0; i < 3000; ++i) {
      Bytes mutated = whole;
      for (unsigned n = 0; n <= random() % 4; ++n) {
        // Headers come first, and are small: every other change hits the first 64 bytes.
        const size_t range = n % 2 == 0 ? mutated.size() : std::min<size_t>(mutated.size(), 64);
        mutated[random() % range] = static_cast<uint8_t>(random());
      }
      if (name.find("PNG") != std::string::npos) {
        RepairChecksums(&mutated);
      }
      const auto image = DecodeImage(mutated);
      ASSERT_TRUE(image.ok() || absl::IsInvalidArgument(image.status())) << name << " " << i << " " << image.status();
    }
  }
}

TEST(DecodeThumbnailTest, ThePictureFitsAndKeepsItsShape) {
  const std::vector<uint8_t> bytes = testing::ReadBytes(testing::Sample("cat.0.jpg"));
  ASSERT_OK_AND_ASSIGN(const RgbImage whole, DecodeImage(bytes));
  ASSERT_OK_AND_ASSIGN(const RgbImage small, DecodeThumbnail(bytes, *ProbeImage(bytes), 100));
  EXPECT_EQ(std::max(small.width, small.height), 100);
  EXPECT_NEAR(static_cast<double>(small.width) / small.height, static_cast<double>(whole.width) / whole.height, 0.02);
  EXPECT_EQ(small.pixels.size(), static_cast<size_t>(small.width * small.height * 3));
  // The same picture: its mean colour stays.
  const auto mean = [](const RgbImage& image) {
    double sum = 0;
    for (const uint8_t value : image.pixels) {
      sum += value;
    }
    return sum / static_cast<double>(image.pixels.size());
  };
  EXPECT_NEAR(mean(small), mean(whole), 1);
}

TEST(DecodeThumbnailTest, ASmallPictureStaysAsItIs) {
  const std::vector<uint8_t> bytes = testing::ReadBytes(testing::Sample("cat.0.jpg"));
  EXPECT_EQ(DecodeThumbnail(bytes, *ProbeImage(bytes), 10'000)->pixels, DecodeImage(bytes)->pixels);
}

}  // namespace
}  // namespace graft
