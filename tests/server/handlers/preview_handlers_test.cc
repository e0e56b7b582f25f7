#include <opencv2/imgcodecs.hpp>

#include "core/data/quality.h"
#include "core/data/split.h"
#include "tests/server/handlers/fixture.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class PreviewHandlersTest : public testing::HandlersTest {
 protected:
  // Four cats and four dogs, of which two show the same.
  void SetUp() override {
    AddDataset("pets");
    for (int i = 0; i < 4; ++i) {
      for (const std::string label : {"cat", "dog"}) {
        const std::string name = label + "." + std::to_string(i) + ".jpg";
        testing::WriteText(root_ / "in" / name, testing::ReadText(testing::Sample(name)));
      }
    }
    const cv::Mat copy = cv::imread(testing::Sample("cat.0.jpg").string());
    ASSERT_TRUE(cv::imwrite((root_ / "in/cat.3.jpg").string(), copy, {cv::IMWRITE_JPEG_QUALITY, 50}));
    SplitOptions options;
    options.sizes = SplitCounts{2, 1, 1};
    const fs::path folder = data_->Dataset("pets");
    ASSERT_OK_AND_ASSIGN(manifest_,
                         SplitFolder(
                             root_ / "in", folder, options, [](const auto&) { return absl::OkStatus(); }, &findings_));
    ASSERT_THAT(SaveQuality(InspectDataset(folder, manifest_, findings_, 1), folder), IsOk());
    request_.set_name("pets");
  }
  absl::StatusOr<std::string> Preview() {
    v1::PreviewDatasetResponse response;
    absl::Status status = PreviewDataset(deps_, call_, request_, &response);
    return status.ok() ? absl::StatusOr<std::string>(response.png()) : status;
  }
  cv::Mat Picture() {
    const absl::StatusOr<std::string> png = Preview();
    EXPECT_THAT(png, IsOk());
    return png.ok() ? cv::imdecode(std::vector<uchar>(png->begin(), png->end()), cv::IMREAD_COLOR) : cv::Mat();
  }

  Manifest manifest_;
  SplitFindings findings_;
  v1::PreviewDatasetRequest request_;
};

TEST_F(PreviewHandlersTest, LabelledImagesOfEachPartAreTheSameForTheSameSeed) {
  ASSERT_OK_AND_ASSIGN(const std::string first, Preview());
  EXPECT_EQ(*Preview(), first);
  request_.set_columns(1);
  EXPECT_LT(Preview()->size(), first.size());
  ASSERT_OK_AND_ASSIGN(const std::string one, Preview());
  int others = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    request_.set_seed(seed);
    others += *Preview() != one ? 1 : 0;
  }
  EXPECT_GT(others, 0);
}

TEST_F(PreviewHandlersTest, AugmentedImagesAreWhatTrainingMakesOfThem) {
  request_.mutable_augmented()->mutable_options()->set_augment_vertical_flip(true);
  request_.mutable_augmented()->mutable_options()->set_image_size(64);
  request_.mutable_augmented()->set_images(1);
  request_.set_columns(8);
  request_.set_seed(7);
  const cv::Mat picture = Picture();
  ASSERT_FALSE(picture.empty());
  EXPECT_EQ(*Preview(), *Preview());
  // Squares of 192 pixels, 12 apart, the last of which ends 40 before the edge.
  const auto square = [&](int column) {
    const int right = picture.cols - 40 - (8 - column) * (192 + 12);
    return picture(cv::Rect(right - 192, picture.rows - 40 - 192, 192, 192));
  };
  Augmentation flips;
  flips.vertical_flip = true;
  // The row is one of the four training images: one whose draws are those that are seen.
  std::vector<bool> seen;
  for (int epoch = 1; epoch <= 8; ++epoch) {
    cv::Mat turned;
    cv::flip(square(epoch), turned, 0);
    const double straight = cv::norm(square(epoch), square(0), cv::NORM_L1);
    const double upside_down = cv::norm(turned, square(0), cv::NORM_L1);
    EXPECT_LT(std::min(straight, upside_down), 0.2 * std::max(straight, upside_down));
    seen.push_back(upside_down < straight);
  }
  int matches = 0;
  for (int64_t row = 0; row < 4; ++row) {
    std::vector<bool> drawn;
    for (int epoch = 1; epoch <= 8; ++epoch) {
      drawn.push_back(DrawChange(flips, 64, ChangeSeed(7, epoch, row)).vertical_flip);
    }
    matches += drawn == seen ? 1 : 0;
  }
  EXPECT_EQ(matches, 1);
}

TEST_F(PreviewHandlersTest, AugmentationThatChangesNothingIsRefused) {
  request_.mutable_augmented();
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("augment_rotation")));
  request_.mutable_augmented()->set_variant("basic_cnn");
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("basic_cnn changes no image")));
  request_.mutable_augmented()->set_variant("nonsense");
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kNotFound, HasSubstr("'nonsense'")));
  request_.mutable_augmented()->set_variant("basic_cnn");
  request_.mutable_augmented()->mutable_options()->set_augment_zoom(2);
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("options.augment_zoom: 2")));
  request_.mutable_augmented()->mutable_options()->set_augment_zoom(0.5);
  EXPECT_THAT(Preview(), IsOk());
  request_.mutable_augmented()->set_images(33);
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("augmented.images: 33")));
  request_.mutable_augmented()->set_images(32);  // more than there are
  EXPECT_THAT(Preview(), IsOk());
  request_.set_columns(17);
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("columns: 17")));
}

TEST_F(PreviewHandlersTest, PairsAreShownWhereThereAreSome) {
  request_.mutable_duplicates();
  EXPECT_FALSE(Picture().empty());
  const fs::path folder = data_->Dataset("pets");
  ASSERT_THAT(SaveQuality(DatasetQuality(), folder), IsOk());
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kNotFound, HasSubstr("no near-duplicates")));
  fs::remove(folder / "quality.json");
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kNotFound, HasSubstr("split it again")));
  testing::WriteText(folder / "quality.json", "{}");
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kDataLoss, Not(HasSubstr(root_.string()))));
}

TEST_F(PreviewHandlersTest, WhatIsMissingOrDamagedIsNamed) {
  const ManifestEntry& entry = manifest_.entries[0];
  const fs::path file = data_->Dataset("pets") / std::string(PartFolder(entry.part)) / entry.path;
  testing::WriteText(file, testing::ReadText(file) + "x");
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kDataLoss, AllOf(HasSubstr(entry.path), HasSubstr("bytes"))));
  fs::remove(file);
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kDataLoss, AllOf(HasSubstr(entry.path), Not(HasSubstr(root_.string())))));
  testing::WriteText(data_->Dataset("pets") / "manifest.json", "{}");
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kDataLoss, HasSubstr("manifest")));
  request_.set_name("none");
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kNotFound, HasSubstr("'none'")));
  request_.set_name("../pets");
  EXPECT_THAT(Preview(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("'../pets'")));
}

TEST_F(PreviewHandlersTest, ACallerThatHasGoneGetsNoPicture) {
  Call gone;
  gone.cancelled = [] { return true; };
  v1::PreviewDatasetResponse response;
  EXPECT_THAT(PreviewDataset(deps_, gone, request_, &response), StatusIs(StatusCode::kCancelled, HasSubstr("gone")));
}

TEST_F(PreviewHandlersTest, ADataSetIsShownWithItsQuality) {
  v1::GetDatasetRequest request;
  request.set_name("pets");
  v1::Dataset dataset;
  ASSERT_THAT(GetDataset(deps_, call_, request, &dataset), IsOk());
  ASSERT_EQ(dataset.quality().near_duplicates_size(), 1);
  const v1::NearDuplicates& near = dataset.quality().near_duplicates(0);
  EXPECT_EQ(near.first().label(), "cat");
  EXPECT_LE(near.hash_bits(), kNearBits);
  EXPECT_FALSE(near.same_pixels());
  EXPECT_EQ(dataset.quality().pairs_across_parts() + dataset.quality().pairs_within_parts(), 1);
  EXPECT_EQ(dataset.quality().warnings_size(), static_cast<int>(dataset.quality().pairs_across_parts()));
  testing::WriteText(data_->Dataset("pets") / "quality.json", "{}");
  ASSERT_THAT(GetDataset(deps_, call_, request, &dataset), IsOk());
  EXPECT_THAT(dataset.quality().damaged(), AllOf(HasSubstr("quality.json"), Not(HasSubstr(root_.string()))));
  EXPECT_EQ(dataset.damaged(), "");
}

}  // namespace
}  // namespace graft
