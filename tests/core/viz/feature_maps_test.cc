#include "core/viz/feature_maps.h"

#include <cmath>
#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <set>
#include <vector>

#include "core/viz/ramp.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

cv::Mat Draw(const std::vector<float>& values, int64_t channels, int64_t height, int64_t width) {
  FeatureMapsPicture picture;
  picture.title = "block1_conv1";
  picture.subtitle = "pets@1";
  picture.channels = channels;
  picture.height = height;
  picture.width = width;
  picture.values = values;
  const absl::StatusOr<std::string> png = FeatureMaps(picture);
  EXPECT_THAT(png, testing::IsOk());
  return png.ok() ? cv::imdecode(std::vector<uchar>(png->begin(), png->end()), cv::IMREAD_COLOR) : cv::Mat();
}

int Count(const cv::Mat& image, const Pixel& rgb) {
  const cv::Scalar color(rgb[2], rgb[1], rgb[0]);
  cv::Mat match;
  cv::inRange(image, color, color, match);
  return cv::countNonZero(match);
}

TEST(FeatureMapsTest, EachChannelGoesFromItsOwnLeastToItsOwnGreatest) {
  // Four channels of 2 x 2, each with its greatest number elsewhere, and of very different sizes.
  std::vector<float> values;
  for (int channel = 0; channel < 4; ++channel) {
    for (int place = 0; place < 4; ++place) {
      values.push_back((place == channel ? 1.0F : -1.0F) * static_cast<float>(std::pow(1000, channel - 2)));
    }
  }
  const cv::Mat image = Draw(values, 4, 2, 2);
  // Each number is 112 x 112 pixels, and sharp.
  EXPECT_EQ(Count(image, MapColor(1)), 4 * 112 * 112);
  EXPECT_EQ(Count(image, MapColor(0)), 4 * 3 * 112 * 112);
  // Channel by channel, row by row, two points apart.
  for (int channel = 0; channel < 4; ++channel) {
    const int x = 48 + channel % 2 * (224 + 4) + channel % 2 * 112 + 56;
    const int y = 152 + channel / 2 * (224 + 4) + channel / 2 * 112 + 56;
    const auto pixel = image.at<cv::Vec3b>(y, x);
    EXPECT_EQ(pixel, cv::Vec3b(MapColor(1)[2], MapColor(1)[1], MapColor(1)[0])) << channel;
  }
}

TEST(FeatureMapsTest, WhatIsAlikeOrNotFiniteIsDark) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const cv::Mat image = Draw({7, 7, 7, 7, kNan, kInfinity, 0, 1, kNan, kNan, kNan, kNan}, 3, 2, 2);
  EXPECT_EQ(Count(image, MapColor(1)), 112 * 112);
  EXPECT_EQ(Count(image, MapColor(0)), 11 * 112 * 112);
}

TEST(FeatureMapsTest, LargeMapsAreShrunkAndManyChannelsStayOnThePage) {
  const cv::Mat large = Draw(std::vector<float>(64 * 300 * 300, 1), 64, 300, 300);
  EXPECT_GT(large.cols, 900);
  EXPECT_LT(large.cols, 1120);
  const cv::Mat many = Draw(std::vector<float>(256 * 150 * 150, 1), 256, 150, 150);
  EXPECT_LT(many.cols, 1120);
  EXPECT_LT(many.rows, 1250);
  const cv::Mat uneven = Draw(std::vector<float>(5 * 10 * 20, 1), 5, 10, 20);
  EXPECT_EQ(Count(uneven, MapColor(0)), 5 * 220 * 110) << "three columns, two rows";
}

TEST(FeatureMapsTest, RampsGetLighterAllTheWay) {
  for (const auto& ramp : {&HeatColor, &MapColor}) {
    double before = -1;
    for (int i = 0; i <= 100; ++i) {
      const Pixel pixel = ramp(static_cast<float>(i) / 100);
      const double luma = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
      EXPECT_GE(luma, before - 0.5) << i;
      before = luma;
    }
    EXPECT_EQ(ramp(-3), ramp(0));
    EXPECT_EQ(ramp(3), ramp(1));
    EXPECT_EQ(ramp(std::numeric_limits<float>::quiet_NaN()), ramp(0));
  }
}

TEST(FeatureMapsTest, WhatDoesNotFitIsRefused) {
  FeatureMapsPicture picture;
  const std::vector<float> values(257 * 4);
  picture.values = values;
  for (const auto& [channels, height, width] : {std::tuple<int64_t, int64_t, int64_t>{257, 2, 2},
                                                {0, 2, 2},
                                                {4, 257, 2},
                                                {1, 1, 1028},
                                                {257, 0, 4},
                                                {-257, -2, 2}}) {
    picture.channels = channels;
    picture.height = height;
    picture.width = width;
    EXPECT_THAT(FeatureMaps(picture), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("values: 1028 numbers")));
  }
}

}  // namespace
}  // namespace graft
