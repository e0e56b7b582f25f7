#include "core/data/augment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
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
