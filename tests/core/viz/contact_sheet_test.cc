#include "core/viz/contact_sheet.h"

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

SheetPicture Plain(int width, int height, uint8_t red, uint8_t green, uint8_t blue) {
  SheetPicture picture{width, height, {}};
  for (int i = 0; i < width * height; ++i) {
    picture.rgb.insert(picture.rgb.end(), {red, green, blue});
  }
  return picture;
}

cv::Mat Draw(const Sheet& sheet) {
  const absl::StatusOr<std::string> png = ContactSheet(sheet);
  EXPECT_THAT(png, testing::IsOk());
  return png.ok() ? cv::imdecode(std::vector<uchar>(png->begin(), png->end()), cv::IMREAD_COLOR) : cv::Mat();
}

// Pixels of exactly this colour.
int Count(const cv::Mat& image, int red, int green, int blue) {
  cv::Mat match;
  cv::inRange(image, cv::Scalar(blue, green, red), cv::Scalar(blue, green, red), match);
  return cv::countNonZero(match);
}

Sheet Small() {
  Sheet sheet{.title = "pets"};
  sheet.picture_side = 50;
  sheet.rows.push_back({.label = "cat", .pictures = {Plain(10, 10, 200, 0, 0), Plain(10, 10, 0, 150, 0)}});
  return sheet;
}

TEST(ContactSheetTest, PicturesFillTheirSquares) {
  const cv::Mat image = Draw(Small());
  EXPECT_EQ(Count(image, 200, 0, 0), 100 * 100);
  EXPECT_EQ(Count(image, 0, 150, 0), 100 * 100);
}

TEST(ContactSheetTest, OnesThatArentSquareKeepTheirShape) {
  Sheet sheet = Small();
  sheet.rows[0].pictures = {Plain(40, 20, 0, 0, 200), Plain(20, 80, 90, 90, 0)};
  const cv::Mat image = Draw(sheet);
  EXPECT_EQ(Count(image, 0, 0, 200), 100 * 50);
  EXPECT_EQ(Count(image, 90, 90, 0), 25 * 100);
}

TEST(ContactSheetTest, RowsColumnsHeadingsAndCaptionsTakeRoom) {
  const cv::Mat small = Draw(Small());
  Sheet sheet = Small();
  sheet.rows[0].heading = "Training";
  EXPECT_GT(Draw(sheet).rows, small.rows);
  sheet = Small();
  sheet.columns = {"original", "pass 1"};
  EXPECT_GT(Draw(sheet).rows, small.rows);
  sheet = Small();
  sheet.rows[0].pictures[1].caption = {"cat.1.jpg", "training"};
  EXPECT_GT(Draw(sheet).rows, small.rows);
  sheet = Small();
  sheet.rows.push_back(sheet.rows[0]);
  EXPECT_EQ(Draw(sheet).rows, small.rows + 100 + 12);
  sheet.rows[0].pictures.push_back(Plain(1, 1, 1, 2, 3));
  EXPECT_EQ(Draw(sheet).cols, small.cols + 100 + 12);
}

TEST(ContactSheetTest, LongAndOddNamesNeitherBreakNorWidenThePage) {
  Sheet sheet = Small();
  for (const std::string& name : {std::string(5000, 'W'), std::string("\xff\xfe\x1b[2J"), std::string("\u202Ecat"),
                                  std::string("猫の写真 ü"), std::string()}) {
    SheetRow row = sheet.rows[0];
    row.label = row.note = row.heading = name;
    row.pictures[0].caption = {name, name};
    sheet.rows.push_back(row);
  }
  sheet.title = sheet.subtitle = std::string(9000, 'M');
  const cv::Mat image = Draw(sheet);
  EXPECT_LT(image.cols, 1400);
  EXPECT_EQ(Count(image, 200, 0, 0), 6 * 100 * 100);
}

TEST(ContactSheetTest, WhatIsNoPictureIsLeftOut) {
  Sheet sheet = Small();
  sheet.rows[0].pictures = {SheetPicture(), {5, 5, {1, 2, 3}}};
  EXPECT_GT(Draw(sheet).cols, 200);
}

TEST(ContactSheetTest, NothingAndTooMuchAreRefused) {
  EXPECT_THAT(ContactSheet({.title = "x"}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing")));
  Sheet sheet = Small();
  sheet.rows.resize(200, sheet.rows[0]);
  EXPECT_THAT(ContactSheet(sheet), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("out of range")));
}

}  // namespace
}  // namespace graft
