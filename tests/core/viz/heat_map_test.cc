#include "core/viz/heat_map.h"

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

// A grey photograph of which only one corner is hot.
HeatMapPicture Corner(int width, int height, absl::Span<const float> heat) {
  HeatMapPicture picture;
  picture.label = "dog";
  picture.probability = 0.995;
  picture.subtitle = "pets@1";
  picture.width = width;
  picture.height = height;
  picture.pixels.assign(static_cast<size_t>(width * height) * 3, 128);
  picture.rows = 4;
  picture.columns = 4;
  picture.heat = heat;
  return picture;
}

cv::Mat Draw(const HeatMapPicture& picture) {
  const absl::StatusOr<std::string> png = HeatMap(picture);
  EXPECT_THAT(png, testing::IsOk());
  return png.ok() ? cv::imdecode(std::vector<uchar>(png->begin(), png->end()), cv::IMREAD_COLOR) : cv::Mat();
}

std::vector<float> HotCorner() {
  std::vector<float> heat(16);
  heat[3] = 1;  // above, on the right
  return heat;
}

TEST(HeatMapTest, AMapIsStretchedAsOthersStretchIt) {
  cv::Mat map(5, 3, CV_32F);
  cv::RNG(4).fill(map, cv::RNG::UNIFORM, 0, 1);
  cv::Mat expected;
  cv::resize(map, expected, cv::Size(37, 29), 0, 0, cv::INTER_LINEAR);
  const std::vector<float> found = Stretched({map.ptr<float>(), 15}, 5, 3, 29, 37);
  ASSERT_EQ(found.size(), expected.total());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], expected.ptr<float>()[i], 1e-5);
  }
  EXPECT_EQ(Stretched(std::vector<float>{0.5F}, 1, 1, 2, 2), std::vector<float>(4, 0.5F));
}

TEST(HeatMapTest, ThePhotographStaysAndTheHeatLiesBesideIt) {
  const std::vector<float> heat = HotCorner();
  const cv::Mat image = Draw(Corner(200, 200, heat));
  // 24 points of margin, a picture, 12 points, the picture with the map.
  const cv::Rect plain(48, 152, 512, 512);
  const cv::Rect laid(48 + 512 + 24, 152, 512, 512);
  ASSERT_GE(image.cols, laid.x + laid.width);
  ASSERT_GE(image.rows, laid.y + laid.height);
  const cv::Scalar grey = cv::mean(image(plain));
  for (int c = 0; c < 3; ++c) {
    EXPECT_NEAR(grey[c], 128, 0.5);
  }
  const auto brightness = [&](int column, int row) {
    const cv::Scalar mean = cv::mean(image(laid)(cv::Rect(column * 128 + 32, row * 128 + 32, 64, 64)));
    return mean[0] + mean[1] + mean[2];
  };
  for (int i = 0; i < 16; ++i) {
    if (i != 3) {
      EXPECT_GT(brightness(3, 0), brightness(i % 4, i / 4) + 100) << i;
    }
  }
}

TEST(HeatMapTest, PhotographsOfAnyShapeKeepIt) {
  const std::vector<float> heat = HotCorner();
  EXPECT_EQ(Draw(Corner(200, 100, heat)).rows, Draw(Corner(200, 200, heat)).rows - 256);
  EXPECT_EQ(Draw(Corner(1, 2000, heat)).rows, Draw(Corner(200, 200, heat)).rows);
  EXPECT_EQ(Draw(Corner(2000, 1, heat)).cols, Draw(Corner(200, 200, heat)).cols);
  HeatMapPicture odd = Corner(50, 50, heat);
  odd.label = std::string(5000, 'W') + "\xff\x1b[2J";
  odd.subtitle = odd.label;
  EXPECT_EQ(Draw(odd).cols, Draw(Corner(200, 200, heat)).cols);
}

TEST(HeatMapTest, WhatDoesNotFitIsRefused) {
  const std::vector<float> heat = HotCorner();
  HeatMapPicture picture = Corner(20, 20, heat);
  picture.pixels.pop_back();
  EXPECT_THAT(HeatMap(picture), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pixels: 1199 bytes")));
  picture = Corner(20, 20, heat);
  picture.rows = 5;
  EXPECT_THAT(HeatMap(picture), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("heat: 16 numbers")));
  picture = Corner(0, 0, heat);
  EXPECT_THAT(HeatMap(picture), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pixels")));
  EXPECT_THAT(HeatMap(Corner(3000, 1, heat)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3000 x 1")));
}

}  // namespace
}  // namespace graft
