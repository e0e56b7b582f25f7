#include "core/data/augment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

#include "core/base/safetensors.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

TEST(AugmentTest, ChangesEqualKerass) {
  constexpr int64_t kCount = 12, kSide = 64;
  ASSERT_OK_AND_ASSIGN(const Safetensors golden, Safetensors::Open(testing::Golden("augment.safetensors")));
  const auto floats = [&](const char* name, std::vector<int64_t> shape) {
    const TensorView view = *golden.Get(name, DType::kF32, shape);
    std::vector<float> values(static_cast<size_t>(view.elements()));
    std::memcpy(values.data(), view.data.data(), view.data.size());
    return values;
  };
  const auto input = floats("input", {kCount, kSide, kSide, 3});
  const auto expected = floats("output", {kCount, kSide, kSide, 3});
  const auto parameters = floats("parameters", {kCount, 7});
  constexpr size_t kImage = kSide * kSide * 3;
  for (size_t i = 0; i < kCount; ++i) {
    const std::vector<uint8_t> image(input.begin() + static_cast<ptrdiff_t>(i * kImage),
                                     input.begin() + static_cast<ptrdiff_t>((i + 1) * kImage));
    const float* const p = &parameters[i * 7];
    std::vector<float> found(kImage);
    ApplyChange({p[0], p[1], p[2], p[3], p[4], p[5], p[6] != 0}, image, kSide, absl::MakeSpan(found));
    float worst = 0;
    for (size_t k = 0; k < kImage; ++k) {
      worst = std::max(worst, std::abs(found[k] - expected[i * kImage + k]));
    }
    EXPECT_LT(worst, 0.02) << "image " << i << ", of 255";
  }
}

// augment_fill.safetensors: 8 images of 32 x 32.
class FillGoldenTest : public ::testing::Test {
 protected:
  static constexpr size_t kCount = 8, kSide = 32, kImage = kSide * kSide * 3;

  void SetUp() override {
    const TensorView view = *golden_.Get("input", DType::kU8, {kCount, kSide, kSide, 3});
    images_.assign(view.data.begin(), view.data.end());
  }
  std::vector<float> Floats(const char* name, std::vector<int64_t> shape) {
    const TensorView view = *golden_.Get(name, DType::kF32, shape);
    std::vector<float> values(static_cast<size_t>(view.elements()));
    std::memcpy(values.data(), view.data.data(), view.data.size());
    return values;
  }
  absl::Span<const uint8_t> Image(size_t i) const { return absl::MakeConstSpan(images_).subspan(i * kImage, kImage); }

  const Safetensors golden_ = Safetensors::Open(testing::Golden("augment_fill.safetensors")).value();
  std::vector<uint8_t> images_;
};

TEST_F(FillGoldenTest, EdgesGoOnAsKerass) {
  const auto parameters = Floats("parameters", {kCount, 7});
  for (const Fill fill : {Fill::kReflect, Fill::kConstant}) {
    const auto expected = Floats(std::string(FillName(fill)).c_str(), {kCount, kSide, kSide, 3});
    for (size_t i = 0; i < kCount; ++i) {
      const float* const p = &parameters[i * 7];
      AffineChange change{p[0], p[1], p[2], p[3], p[4], p[5]};
      change.fill = fill;
      std::vector<float> found(kImage);
      ApplyChange(change, Image(i), kSide, absl::MakeSpan(found));
      float worst = 0;
      for (size_t k = 0; k < kImage; ++k) {
        worst = std::max(worst, std::abs(found[k] - expected[i * kImage + k]));
      }
      EXPECT_LT(worst, 0.02) << FillName(fill) << ", image " << i << ", of 255";
    }
  }
}

// Pillow rounds after each of the two, and the mean too.
TEST_F(FillGoldenTest, BrightnessAndContrastEqualPillows) {
  const auto factors = Floats("factors", {kCount, 2});
  const TensorView view = *golden_.Get("jittered", DType::kU8, {kCount, kSide, kSide, 3});
  for (size_t i = 0; i < kCount; ++i) {
    AffineChange change;
    change.brightness = factors[i * 2];
    change.contrast = factors[i * 2 + 1];
    std::vector<float> found(kImage);
    ApplyChange(change, Image(i), kSide, absl::MakeSpan(found));
    for (size_t k = 0; k < kImage; ++k) {
      ASSERT_NEAR(found[k], view.data[i * kImage + k], 1 + change.contrast + 0.5) << "image " << i;
    }
  }
}

TEST(AugmentTest, ReflectionRepeatsTheEdgeAndConstantIsBlackBehindIt) {
  // A row of three pixels' first channels, moved by two columns to each side.
  const std::vector<uint8_t> image = {1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 1, 1, 2, 2, 2, 3, 3, 3};
  const auto row = [&](Fill fill, double columns) {
    AffineChange change;
    change.column_shift = columns;
    change.fill = fill;
    std::vector<float> found(image.size());
    ApplyChange(change, image, 3, absl::MakeSpan(found));
    return std::vector<float>{found[0], found[3], found[6]};
  };
  EXPECT_EQ(row(Fill::kReflect, 2), (std::vector<float>{3, 3, 2}));
  EXPECT_EQ(row(Fill::kReflect, -2), (std::vector<float>{2, 1, 1}));
  EXPECT_EQ(row(Fill::kReflect, 6), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(row(Fill::kReflect, 300), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(row(Fill::kConstant, 2), (std::vector<float>{3, 0, 0}));
  EXPECT_EQ(row(Fill::kConstant, -1), (std::vector<float>{0, 1, 2}));
  EXPECT_EQ(row(Fill::kConstant, 0.5), (std::vector<float>{1.5, 2.5, 0}));
  EXPECT_EQ(row(Fill::kNearest, 2), (std::vector<float>{3, 3, 3}));
}

TEST(AugmentTest, UpsideDown) {
  const std::vector<uint8_t> image = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  std::vector<float> found(image.size());
  AffineChange change;
  change.vertical_flip = true;
  ApplyChange(change, image, 2, absl::MakeSpan(found));
  EXPECT_EQ(found, (std::vector<float>{7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6}));
}

TEST(AugmentTest, BrightnessAndContrastEndAtBlackAndWhite) {
  const std::vector<uint8_t> image = {0, 0, 0, 255, 255, 255, 100, 100, 100, 200, 200, 200};
  std::vector<float> found(image.size());
  AffineChange change;
  change.brightness = 2;
  ApplyChange(change, image, 2, absl::MakeSpan(found));
  EXPECT_THAT(found, ::testing::ElementsAre(0, 0, 0, 255, 255, 255, 200, 200, 200, 255, 255, 255));
  change.brightness = 1;
  change.contrast = 0;  // the mean grey everywhere
  ApplyChange(change, image, 2, absl::MakeSpan(found));
  for (const float value : found) {
    EXPECT_NEAR(value, 138.75, 0.05);
  }
}

// Weights of a seed stay what they were: what came later draws behind what was there.
TEST(AugmentTest, ChangesOfASeedStayWhatTheyWere) {
  Augmentation options;
  options.zoom = 0.3;
  options.rotation = 50;
  options.width_shift = options.height_shift = options.shear = 0.2;
  options.flip = true;
  const AffineChange change = DrawChange(options, 150, 42);
  EXPECT_EQ(change.rotation, 25.515553295453898);
  EXPECT_EQ(change.column_shift, 8.3418836312818456);
  EXPECT_EQ(change.row_shift, 15.128712044881597);
  EXPECT_EQ(change.shear, -0.1454909265470252);
  EXPECT_EQ(change.column_zoom, 1.241961379857027);
  EXPECT_EQ(change.row_zoom, 0.75644098705770224);
  EXPECT_FALSE(change.flip);
  EXPECT_FALSE(change.vertical_flip);
  EXPECT_EQ(change.brightness, 1);
  EXPECT_EQ(change.contrast, 1);
  Augmentation more = options;
  more.vertical_flip = true;
  more.brightness = more.contrast = 0.5;
  more.fill = Fill::kReflect;
  bool differs = false;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const AffineChange before = DrawChange(options, 150, seed);
    const AffineChange after = DrawChange(more, 150, seed);
    EXPECT_EQ(std::tie(before.rotation, before.column_shift, before.row_shift, before.shear, before.flip),
              std::tie(after.rotation, after.column_shift, after.row_shift, after.shear, after.flip));
    EXPECT_LE(std::abs(after.brightness - 1), 0.5);
    EXPECT_LE(std::abs(after.contrast - 1), 0.5);
    EXPECT_EQ(after.fill, Fill::kReflect);
    differs |= after.vertical_flip != before.vertical_flip;
  }
  EXPECT_TRUE(differs);
}

TEST(AugmentTest, EachAloneIsAChangeButHowEdgesGoOn) {
  Augmentation options;
  options.fill = Fill::kConstant;
  EXPECT_FALSE(options.any());
  for (double Augmentation::*const range : {&Augmentation::zoom, &Augmentation::rotation, &Augmentation::brightness,
                                            &Augmentation::contrast, &Augmentation::shear}) {
    Augmentation one;
    one.*range = 0.1;
    EXPECT_TRUE(one.any());
  }
  options.vertical_flip = true;
  EXPECT_TRUE(options.any());
}

TEST(AugmentTest, NoChangeLeavesEveryPixel) {
  std::vector<uint8_t> image(7 * 7 * 3);
  for (size_t i = 0; i < image.size(); ++i) {
    image[i] = static_cast<uint8_t>(i * 37);
  }
  std::vector<float> found(image.size());
  ApplyChange({}, image, 7, absl::MakeSpan(found));
  EXPECT_EQ(found, std::vector<float>(image.begin(), image.end()));
  ApplyChange({0, 0, 0, 0, 1, 1, true}, image, 7, absl::MakeSpan(found));
  for (size_t column = 0; column < 7; ++column) {
    EXPECT_EQ(found[column * 3], image[(6 - column) * 3]);
  }
}

TEST(AugmentTest, FarOutsideIsTheNearestPixel) {
  const std::vector<uint8_t> image = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  std::vector<float> found(image.size());
  ApplyChange({0, 1000, 1000, 0, 1, 1, false}, image, 2, absl::MakeSpan(found));
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(found[3 * i], 10);
  }
}

TEST(AugmentTest, DrawsFillTheirRangesAndNoMore) {
  Augmentation options;
  options.zoom = 0.3;
  options.rotation = 50;
  options.width_shift = 0.2;
  options.height_shift = 0.1;
  options.shear = 0.2;
  options.flip = true;
  double most_rotation = 0, most_rows = 0, most_columns = 0, least_zoom = 9, most_zoom = 0, most_shear = 0;
  int flips = 0;
  constexpr int kDraws = 2000;
  for (int seed = 0; seed < kDraws; ++seed) {
    const AffineChange change = DrawChange(options, 100, static_cast<uint64_t>(seed));
    most_rotation = std::max(most_rotation, std::abs(change.rotation));
    most_rows = std::max(most_rows, std::abs(change.row_shift));
    most_columns = std::max(most_columns, std::abs(change.column_shift));
    most_shear = std::max(most_shear, std::abs(change.shear));
    least_zoom = std::min({least_zoom, change.row_zoom, change.column_zoom});
    most_zoom = std::max({most_zoom, change.row_zoom, change.column_zoom});
    flips += change.flip ? 1 : 0;
  }
  EXPECT_GT(most_rotation, 49);
  EXPECT_LE(most_rotation, 50);
  EXPECT_GT(most_rows, 9.8);
  EXPECT_LE(most_rows, 10);
  EXPECT_GT(most_columns, 19.6);
  EXPECT_LE(most_columns, 20);
  EXPECT_GT(most_shear, 0.19);
  EXPECT_LE(most_shear, 0.2);
  EXPECT_LT(least_zoom, 0.71);
  EXPECT_GE(least_zoom, 0.7);
  EXPECT_GT(most_zoom, 1.29);
  EXPECT_LE(most_zoom, 1.3);
  EXPECT_NEAR(flips, kDraws / 2, kDraws / 10);
}

}  // namespace
}  // namespace graft
