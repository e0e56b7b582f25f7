#include "core/data/thumbnail.h"

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;
using ::testing::_;

TEST(DecodeThumbnailTest, ThePictureFitsAndKeepsItsShape) {
  const std::vector<uint8_t> bytes = testing::ReadBytes(testing::Sample("cat.0.jpg"));
  ASSERT_OK_AND_ASSIGN(const RgbImage whole, DecodeImage(bytes));
  ASSERT_OK_AND_ASSIGN(const RgbImage small, DecodeThumbnail(bytes, 100));
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
  EXPECT_EQ(DecodeThumbnail(bytes, 10'000)->pixels, DecodeImage(bytes)->pixels);
}

TEST(DecodeThumbnailTest, WhatIsNoPictureIsRefused) {
  EXPECT_THAT(DecodeThumbnail({1, 2, 3}, 100), StatusIs(absl::StatusCode::kInvalidArgument, _));
}

}  // namespace
}  // namespace graft
