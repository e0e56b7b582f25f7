// Resizing by filters, against Pillow's pixels.
#include "core/data/resize.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_split.h"
#include "core/base/safetensors.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using Bytes = std::vector<uint8_t>;

TEST(ResizeTest, FiltersEqualPillowsByteForByte) {
  ASSERT_OK_AND_ASSIGN(const Safetensors golden, Safetensors::Open(testing::Golden("resize_filters.safetensors")));
  const TensorView* names = golden.Find("names");
  ASSERT_NE(names, nullptr);
  const std::vector<std::string> files = absl::StrSplit(std::string(names->data.begin(), names->data.end()), '\n');
  const auto count = static_cast<int64_t>(files.size());
  for (const Interpolation filter : {Interpolation::kBilinear, Interpolation::kBicubic, Interpolation::kBox}) {
    SCOPED_TRACE(std::string(InterpolationName(filter)));
    const std::string prefix = std::string(InterpolationName(filter)) + ".";
    constexpr int kSide = 64;
    ASSERT_OK_AND_ASSIGN(const TensorView photographs,
                         golden.Get(prefix + "photographs", DType::kU8, {count, kSide, kSide, 3}));
    Bytes out(size_t{kSide} * kSide * 3);
    for (size_t i = 0; i < files.size(); ++i) {
      ASSERT_THAT(DecodeImageTo(testing::ReadBytes(testing::Sample(files[i])), kSide, filter, absl::MakeSpan(out)),
                  IsOk());
      EXPECT_EQ(std::memcmp(out.data(), photographs.data.data() + i * out.size(), out.size()), 0) << files[i];
    }
    constexpr int kNoise = 33;
    for (const char* shape : {"narrow", "wide", "small", "dot"}) {
      SCOPED_TRACE(shape);
      ASSERT_OK_AND_ASSIGN(const TensorView pixels, golden.Get(shape, DType::kU8, {-1, -1, 3}));
      ASSERT_OK_AND_ASSIGN(const TensorView expected, golden.Get(prefix + shape, DType::kU8, {kNoise, kNoise, 3}));
      const auto rows = static_cast<int>(pixels.shape[0]);
      const auto columns = static_cast<int>(pixels.shape[1]);
      out.resize(expected.data.size());
      ASSERT_TRUE(IsFilter(filter));
      ResizeFiltered(pixels.data.data(), columns, rows, static_cast<size_t>(columns) * 3, kNoise, filter, out.data());
      EXPECT_EQ(absl::MakeConstSpan(out), expected.data);
    }
  }
}

// A weighted mean of equal values is that value, whatever the weights' rounding.
TEST(ResizeTest, FiltersKeepEvenColours) {
  for (const Interpolation filter : {Interpolation::kBilinear, Interpolation::kBicubic, Interpolation::kBox}) {
    EXPECT_EQ(IsFilter(filter), true);
    for (const auto& [width, height, size] : {std::tuple{1, 900, 48}, {900, 1, 48}, {7, 5, 500}, {500, 375, 224}}) {
      const Bytes pixels(static_cast<size_t>(width) * static_cast<size_t>(height) * 3, 201);
      Bytes out(static_cast<size_t>(size) * static_cast<size_t>(size) * 3);
      ResizeFiltered(pixels.data(), width, height, static_cast<size_t>(width) * 3, size, filter, out.data());
      EXPECT_EQ(std::count(out.begin(), out.end(), 201), static_cast<int64_t>(out.size())) << width << " x " << height;
    }
  }
  EXPECT_FALSE(IsFilter(Interpolation::kNearest));
  EXPECT_FALSE(IsFilter(Interpolation::kArea));
}

TEST(ResizeTest, RowsMayLieApart) {
  constexpr int kWidth = 19;
  constexpr int kHeight = 23;
  constexpr size_t kStride = kWidth * 3 + 7;
  Bytes apart(kStride * kHeight);
  Bytes close;
  for (size_t i = 0; i < apart.size(); ++i) {
    apart[i] = static_cast<uint8_t>(i * 37 + i / 11);
    if (i % kStride < size_t{kWidth} * 3) {
      close.push_back(apart[i]);
    }
  }
  for (const int size : {5, 40}) {
    Bytes one(static_cast<size_t>(size) * static_cast<size_t>(size) * 3);
    Bytes other = one;
    ResizeFiltered(apart.data(), kWidth, kHeight, kStride, size, Interpolation::kBicubic, one.data());
    ResizeFiltered(close.data(), kWidth, kHeight, kWidth * 3, size, Interpolation::kBicubic, other.data());
    EXPECT_EQ(one, other);
  }
}

}  // namespace
}  // namespace graft
