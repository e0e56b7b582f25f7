// The kernels against plain loops in float64, for each instruction set that this CPU has.
#include "core/kernels/conv3x3.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace graft::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<float> Random(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = normal(generator);
  }
  return values;
}

// Weights lie out, row, column, in.
FilterView View(const std::vector<float>& weights, int64_t in_channels) {
  return {weights.data(), 9 * in_channels, 3 * in_channels, in_channels, 1};
}

int64_t OutputFloats(const ConvShape& s) { return s.batch * s.out_height() * s.out_width() * s.out_channels; }

// The definition, without what follows.
std::vector<double> Reference(const ConvShape& s, const std::vector<float>& x, const FilterView& filter) {
  std::vector<double> y;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t i = 0; i < s.out_height(); ++i) {
      for (int64_t j = 0; j < s.out_width(); ++j) {
        for (int64_t k = 0; k < s.out_channels; ++k) {
          double sum = 0;
          for (int64_t r = 0; r < 3; ++r) {
            for (int64_t t = 0; t < 3; ++t) {
              const int64_t row = i + r - s.padding;
              const int64_t column = j + t - s.padding;
              if (row < 0 || row >= s.height || column < 0 || column >= s.width) {
                continue;
              }
              for (int64_t c = 0; c < s.in_channels; ++c) {
                sum += static_cast<double>(
                           x[static_cast<size_t>(((n * s.height + row) * s.width + column) * s.in_channels + c)]) *
                       static_cast<double>(filter.at(k, r, t, c));
              }
            }
          }
          y.push_back(sum);
        }
      }
    }
  }
  return y;
}

std::vector<double> Finish(const ConvShape& s, std::vector<double> y, const std::vector<float>& bias, bool relu,
                           bool pool) {
  const auto keep_nan_max = [](double a, double b) { return std::isnan(a) || a > b ? a : b; };
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] += bias.empty() ? 0 : static_cast<double>(bias[i % bias.size()]);
    y[i] = relu && y[i] < 0 ? 0 : y[i];
  }
  if (!pool) {
    return y;
  }
  std::vector<double> pooled;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t i = 0; i < s.out_height() / 2; ++i) {
      for (int64_t j = 0; j < s.out_width() / 2; ++j) {
        for (int64_t k = 0; k < s.out_channels; ++k) {
          const auto at = [&](int64_t row, int64_t column) {
            return y[static_cast<size_t>(((n * s.out_height() + row) * s.out_width() + column) * s.out_channels + k)];
          };
          pooled.push_back(keep_nan_max(keep_nan_max(at(2 * i, 2 * j), at(2 * i, 2 * j + 1)),
                                        keep_nan_max(at(2 * i + 1, 2 * j), at(2 * i + 1, 2 * j + 1))));
        }
      }
    }
  }
  return pooled;
}

// Buffers are exactly as long as they must be, so that the address sanitizer sees each step beyond.
std::vector<float> RunForward(Isa isa, const ConvShape& s, const std::vector<float>& x, const FilterView& filter,
                              const std::vector<float>& bias, bool relu, bool pool, int threads) {
  std::vector<float> packed(static_cast<size_t>(FilterFloats(isa, s.in_channels, s.out_channels)), kNaN);
  PackFilter(isa, s.in_channels, s.out_channels, filter, packed.data());
  std::vector<float> workspace(static_cast<size_t>(WorkspaceFloats(isa, s, threads)), kNaN);
  const int64_t step = pool ? 2 : 1;
  std::vector<float> y(static_cast<size_t>(s.batch * (s.out_height() / step) * (s.out_width() / step) * s.out_channels),
                       kNaN);
  Forward(isa, s, x.data(), packed.data(), filter, {bias.empty() ? nullptr : bias.data(), relu, pool}, threads,
          workspace.data(), y.data());
  return y;
}

// The largest difference as a part of the largest value; infinite when one is NaN and the other isn't.
double Error(const std::vector<float>& y, const std::vector<double>& expected) {
  EXPECT_EQ(y.size(), expected.size());
  double most = 1e-30;
  double error = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    const auto value = static_cast<double>(y[i]);
    if (std::isnan(expected[i]) != std::isnan(value) || std::isinf(expected[i]) != std::isinf(value)) {
      return std::numeric_limits<double>::infinity();
    }
    if (std::isfinite(value)) {
      most = std::max(most, std::abs(expected[i]));
      error = std::max(error, std::abs(value - expected[i]));
    }
  }
  return error / most;
}

class KernelsTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > BestIsa()) {
      GTEST_SKIP() << "this CPU has no " << IsaName(GetParam());
    }
  }
  Isa isa() const { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Isas, KernelsTest, testing::Values(Isa::kAvx2, Isa::kAvx512),
                         [](const auto& tested) { return std::string(IsaName(tested.param)); });

TEST_P(KernelsTest, ForwardEqualsTheDefinitionAtOddShapes) {
  int cases = 0;
  for (const int64_t padding : {0, 1, 2}) {
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{3, 3}, {1, 5}, {4, 7}, {9, 9}, {13, 6}, {18, 11}}) {
      if (height + 2 * padding < 3) {
        continue;
      }
      for (const auto& [in, out] :
           {std::pair<int64_t, int64_t>{1, 1}, {3, 16}, {3, 20}, {7, 33}, {8, 8}, {16, 64}, {19, 5}, {40, 70}}) {
        const ConvShape s{1 + cases % 3, height, width, in, out, padding};
        const auto x = Random(s.batch * height * width * in, 1);
        const auto weights = Random(9 * in * out, 2);
        const auto bias = cases % 2 == 0 ? Random(out, 3) : std::vector<float>();
        const bool relu = cases % 4 < 2;
        const bool pool = cases % 5 < 2 && s.out_height() > 1 && s.out_width() > 1;
        const auto y = RunForward(isa(), s, x, View(weights, in), bias, relu, pool, 1 + cases % 3);
        EXPECT_LT(Error(y, Finish(s, Reference(s, x, View(weights, in)), bias, relu, pool)), 1e-5)
            << s.batch << " x " << height << " x " << width << " x " << in << " to " << out << ", padding " << padding
            << ", relu " << relu << ", pool " << pool;
        ++cases;
      }
    }
  }
  EXPECT_EQ(cases, 6 * 8 * 3 - 8);
}

TEST_P(KernelsTest, ForwardTakesBatchesFromOneToManyBlocks) {
  for (const int64_t batch : {1, 2, 5, 31, 256}) {
    const ConvShape s{batch, 12, 12, 24, 40, 1};
    const auto x = Random(batch * 12 * 12 * 24, 4);
    const auto weights = Random(9 * 24 * 40, 5);
    const auto bias = Random(40, 6);
    const auto expected = Finish(s, Reference(s, x, View(weights, 24)), bias, true, true);
    const auto y = RunForward(isa(), s, x, View(weights, 24), bias, true, true, 2);
    EXPECT_LT(Error(y, expected), 1e-5) << batch;
    EXPECT_EQ(y, RunForward(isa(), s, x, View(weights, 24), bias, true, true, 2)) << "not the same bits again";
  }
}

// Where one output is left over behind the last whole tile, images share tiles.
TEST_P(KernelsTest, ForwardWhereImagesShareTiles) {
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{9, 9}, {5, 8}, {8, 5}, {1, 1}, {13, 17}}) {
    for (const int64_t batch : {1, 2, 3, 4, 7, 30}) {
      for (const bool pool : {false, true}) {
        const ConvShape s{batch, height, width, 16, 24, 1};
        if (pool && height == 1) {
          continue;
        }
        const auto x = Random(batch * height * width * 16, 20);
        const auto weights = Random(9 * 16 * 24, 21);
        const auto bias = Random(24, 22);
        const auto expected = Finish(s, Reference(s, x, View(weights, 16)), bias, true, pool);
        EXPECT_LT(Error(RunForward(isa(), s, x, View(weights, 16), bias, true, pool, 2), expected), 1e-5)
            << batch << " images of " << height << " x " << width << ", pool " << pool;
      }
    }
  }
}

TEST_P(KernelsTest, ErrorIsThatOfADirectConvolution) {
  // As in the last layers of VGG16, with weights as He draws them.
  const ConvShape s{1, 9, 9, 512, 64, 1};
  const auto x = Random(9 * 9 * 512, 7);
  auto weights = Random(int64_t{9} * 512 * 64, 8);
  for (float& w : weights) {
    w *= static_cast<float>(std::sqrt(2.0 / (9 * 512)));
  }
  const auto y = RunForward(isa(), s, x, View(weights, 512), {}, false, false, 2);
  EXPECT_LT(Error(y, Reference(s, x, View(weights, 512))), 1e-5);
}

TEST_P(KernelsTest, GradientOfTheInput) {
  for (const int64_t padding : {0, 1}) {
    const ConvShape s{2, 10, 7, 18, 35, padding};
    const auto gradient = Random(OutputFloats(s), 9);
    const auto weights = Random(9 * 18 * 35, 10);
    // Each output's gradient goes to the inputs that it came from.
    std::vector<double> expected(static_cast<size_t>(2 * 10 * 7 * 18));
    size_t at = 0;
    for (int64_t n = 0; n < 2; ++n) {
      for (int64_t i = 0; i < s.out_height(); ++i) {
        for (int64_t j = 0; j < s.out_width(); ++j) {
          for (int64_t k = 0; k < 35; ++k, ++at) {
            for (int64_t r = 0; r < 3; ++r) {
              for (int64_t t = 0; t < 3; ++t) {
                const int64_t row = i + r - padding;
                const int64_t column = j + t - padding;
                for (int64_t c = 0; row >= 0 && row < 10 && column >= 0 && column < 7 && c < 18; ++c) {
                  expected[static_cast<size_t>(((n * 10 + row) * 7 + column) * 18 + c)] +=
                      static_cast<double>(gradient[at]) * static_cast<double>(View(weights, 18).at(k, r, t, c));
                }
              }
            }
          }
        }
      }
    }
    const auto result =
        RunForward(isa(), BackwardDataShape(s), gradient, View(weights, 18).Transposed(), {}, false, false, 2);
    EXPECT_LT(Error(result, expected), 1e-5) << padding;
  }
}

TEST_P(KernelsTest, GradientOfTheFilter) {
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{3, 16}, {1, 9}, {7, 40}, {8, 8}, {19, 33}, {32, 64}}) {
    for (const int64_t padding : {0, 1}) {
      // The last two are of more tiles than a block holds, which two threads of 216 divide and of 324 have for
      // themselves.
      for (const auto& [batch, side] : {std::pair<int64_t, int64_t>{1, 5}, {2, 11}, {3, 8}, {7, 9}, {6, 22}, {9, 22}}) {
        const ConvShape s{batch, side, side + 1, in, out, padding};
        const auto x = Random(batch * side * (side + 1) * in, 11);
        const auto gradient = Random(OutputFloats(s), 12);
        std::vector<double> expected(static_cast<size_t>(9 * in * out));
        size_t at = 0;
        for (int64_t n = 0; n < batch; ++n) {
          for (int64_t i = 0; i < s.out_height(); ++i) {
            for (int64_t j = 0; j < s.out_width(); ++j, at += static_cast<size_t>(out)) {
              for (int64_t tap = 0; tap < 9; ++tap) {
                const int64_t row = i + tap / 3 - padding;
                const int64_t column = j + tap % 3 - padding;
                for (int64_t c = 0; row >= 0 && row < s.height && column >= 0 && column < s.width && c < in; ++c) {
                  const auto input =
                      static_cast<double>(x[static_cast<size_t>(((n * s.height + row) * s.width + column) * in + c)]);
                  for (int64_t k = 0; k < out; ++k) {
                    expected[static_cast<size_t>((k * 9 + tap) * in + c)] +=
                        input * static_cast<double>(gradient[at + static_cast<size_t>(k)]);
                  }
                }
              }
            }
          }
        }
        for (const int threads : {1, 2}) {
          std::vector<float> workspace(static_cast<size_t>(WorkspaceFloats(isa(), s, threads)), kNaN);
          std::vector<float> result(expected.size(), kNaN);
          BackwardFilter(isa(), s, x.data(), gradient.data(), threads, workspace.data(), result.data());
          EXPECT_LT(Error(result, expected), 1e-5) << in << " to " << out << ", padding " << padding << ", " << batch
                                                   << " images of " << side << ", " << threads << " threads";
        }
      }
    }
  }
}

TEST_P(KernelsTest, WhatIsNotFiniteStaysWhereADirectConvolutionHasIt) {
  const ConvShape s{2, 17, 17, 16, 24, 1};
  const auto weights = Random(9 * 16 * 24, 13);
  const auto clean = Random(2 * 17 * 17 * 16, 14);
  for (const float bad : {kNaN, kInf, -kInf, std::numeric_limits<float>::max()}) {
    for (const bool pool : {false, true}) {
      auto x = clean;
      x[(17 * 6 + 9) * 16 + 5] = bad;
      const auto expected = Finish(s, Reference(s, x, View(weights, 16)), {}, true, pool);
      auto y = RunForward(isa(), s, x, View(weights, 16), {}, true, pool, 2);
      size_t finite = 0;
      for (size_t i = 0; i < y.size(); ++i) {
        const double value = expected[i];
        if (std::abs(value) > std::numeric_limits<float>::max()) {
          EXPECT_EQ(y[i], value > 0 ? kInf : -kInf) << bad;
        } else if (std::isnan(value)) {
          EXPECT_TRUE(std::isnan(y[i])) << bad;
        } else {
          EXPECT_NEAR(y[i], value, 1e-3 + 1e-5 * std::abs(value)) << bad << " at " << i;
          ++finite;
        }
      }
      EXPECT_GT(finite, y.size() * 9 / 10);
    }
  }
}

TEST_P(KernelsTest, DenormalNumbersAreNumbers) {
  const ConvShape s{1, 8, 8, 16, 16, 1};
  auto x = Random(8 * 8 * 16, 15);
  for (float& value : x) {
    value *= 1e-39F;
  }
  const auto weights = Random(9 * 16 * 16, 16);
  // Steps between such numbers are as large as they are small: an absolute error of some steps.
  const auto expected = Reference(s, x, View(weights, 16));
  const auto y = RunForward(isa(), s, x, View(weights, 16), {}, false, false, 1);
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_NEAR(y[i], expected[i], 1e-42);
  }
  EXPECT_NE(y, std::vector<float>(y.size()));
}

TEST_P(KernelsTest, MaxPool) {
  for (const auto& [height, width, channels] :
       {std::tuple<int64_t, int64_t, int64_t>{2, 2, 1}, {5, 7, 19}, {6, 4, 16}}) {
    auto x = Random(3 * height * width * channels, 17);
    x[0] = kNaN;
    const ConvShape s{3, height, width, channels, channels, 1};
    const auto expected = Finish(s, std::vector<double>(x.begin(), x.end()), {}, false, true);
    std::vector<float> y(expected.size());
    MaxPool(isa(), 3, height, width, channels, x.data(), 2, y.data());
    EXPECT_EQ(Error(y, expected), 0) << height << " x " << width << " x " << channels;
  }
}

TEST_P(KernelsTest, ReluPoolBackwardGivesTheGradientToTheFirstMaximum) {
  // One channel, 2 rows of 4: a window with a tie, and one that ReLU has emptied.
  const std::vector<float> activations = {1, 3, 0, 0,  //
                                          3, 2, 0, 0};
  const std::vector<float> gradient = {5, 7};
  std::vector<float> result(8, kNaN);
  std::vector<float> bias(1, kNaN);
  std::vector<float> workspace(2, kNaN);
  ReluPoolBackward(isa(), 1, 2, 4, 1, activations.data(), gradient.data(), true, 2, workspace.data(), result.data(),
                   bias.data());
  EXPECT_THAT(result, testing::ElementsAre(0, 5, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(bias[0], 5);
}

TEST_P(KernelsTest, ReluPoolBackwardAtOddSizes) {
  for (const bool pool : {false, true}) {
    constexpr int64_t kBatch = 2, kHeight = 5, kWidth = 7, kChannels = 19;
    auto activations = Random(kBatch * kHeight * kWidth * kChannels, 18);
    for (float& a : activations) {
      a = std::max(a, 0.0F);
    }
    const int64_t step = pool ? 2 : 1;
    const auto gradient = Random(kBatch * (kHeight / step) * (kWidth / step) * kChannels, 19);
    std::vector<double> expected(activations.size());
    std::vector<double> expected_bias(kChannels);
    size_t at = 0;
    for (int64_t n = 0; n < kBatch; ++n) {
      for (int64_t i = 0; i < kHeight / step; ++i) {
        for (int64_t j = 0; j < kWidth / step; ++j) {
          for (int64_t c = 0; c < kChannels; ++c, ++at) {
            size_t most = 0;
            float largest = -1;
            for (int64_t part = 0; part < step * step; ++part) {
              const auto here = static_cast<size_t>(
                  ((n * kHeight + i * step + part / 2) * kWidth + j * step + part % 2) * kChannels + c);
              if (activations[here] > largest) {
                largest = activations[here];
                most = here;
              }
            }
            if (largest > 0) {
              expected[most] += static_cast<double>(gradient[at]);
              expected_bias[static_cast<size_t>(c)] += static_cast<double>(gradient[at]);
            }
          }
        }
      }
    }
    std::vector<float> result(activations.size(), kNaN);
    std::vector<float> bias(kChannels, kNaN);
    std::vector<float> workspace(2 * kChannels, kNaN);
    ReluPoolBackward(isa(), kBatch, kHeight, kWidth, kChannels, activations.data(), gradient.data(), pool, 2,
                     workspace.data(), result.data(), bias.data());
    EXPECT_EQ(Error(result, expected), 0) << pool;
    EXPECT_LT(Error(bias, expected_bias), 1e-6) << pool;
  }
}

TEST(IsaTest, NamesAreThoseOfTheEnvironmentVariable) {
  EXPECT_STREQ(IsaName(Isa::kNone), "none");
  EXPECT_STREQ(IsaName(Isa::kAvx2), "avx2");
  EXPECT_STREQ(IsaName(Isa::kAvx512), "avx512");
}

}  // namespace
}  // namespace graft::kernels
