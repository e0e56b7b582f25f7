// The fused block against plain loops in float64, for each instruction set that this CPU has.
#include "core/kernels/inverted_residual.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace graft::kernels {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<float> Random(int64_t count, unsigned seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = normal(generator);
  }
  return values;
}

struct Weights {
  std::vector<float> expand, expand_bias, depthwise, depthwise_bias, project, project_bias;

  explicit Weights(const InvertedResidualShape& s)
      : expand(s.expands ? Random(s.hidden_channels * s.in_channels, 1, Scale(s.in_channels)) : std::vector<float>()),
        expand_bias(s.expands ? Random(s.hidden_channels, 2) : std::vector<float>()),
        depthwise(Random(s.hidden_channels * s.window * s.window, 3, Scale(s.window * s.window))),
        depthwise_bias(Random(s.hidden_channels, 4)),
        project(Random(s.out_channels * s.hidden_channels, 5, Scale(s.hidden_channels))),
        project_bias(Random(s.out_channels, 6)) {}

  InvertedResidualWeights view() const {
    return {expand.empty() ? nullptr : expand.data(),
            expand_bias.empty() ? nullptr : expand_bias.data(),
            depthwise.data(),
            depthwise_bias.data(),
            project.data(),
            project_bias.data()};
  }

 private:
  // That keeps sums in ReLU6's range often enough, and out of it too.
  static float Scale(int64_t terms) { return 2 / std::sqrt(static_cast<float>(terms)); }
};

double Relu6(double x) { return std::isnan(x) ? x : std::min(6.0, std::max(0.0, x)); }

std::vector<double> Matrix(const std::vector<double>& x, int64_t inputs, const std::vector<float>& weights,
                           const std::vector<float>& biases) {
  std::vector<double> y;
  const size_t outputs = biases.size();
  for (size_t row = 0; row < x.size(); row += static_cast<size_t>(inputs)) {
    for (size_t k = 0; k < outputs; ++k) {
      double sum = static_cast<double>(biases[k]);
      for (size_t c = 0; c < static_cast<size_t>(inputs); ++c) {
        sum += x[row + c] * static_cast<double>(weights[k * static_cast<size_t>(inputs) + c]);
      }
      y.push_back(sum);
    }
  }
  return y;
}

std::vector<double> Reference(const InvertedResidualShape& s, const std::vector<float>& x, const Weights& weights) {
  std::vector<double> hidden(x.begin(), x.end());
  if (s.expands) {
    hidden = Matrix(hidden, s.in_channels, weights.expand, weights.expand_bias);
    std::transform(hidden.begin(), hidden.end(), hidden.begin(), &Relu6);
  }
  std::vector<double> filtered;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t i = 0; i < s.out_height; ++i) {
      for (int64_t j = 0; j < s.out_width; ++j) {
        for (int64_t c = 0; c < s.hidden_channels; ++c) {
          double sum = static_cast<double>(weights.depthwise_bias[static_cast<size_t>(c)]);
          for (int64_t tap = 0; tap < s.window * s.window; ++tap) {
            const int64_t row = i * s.stride + tap / s.window - s.pad_before;
            const int64_t column = j * s.stride + tap % s.window - s.pad_before;
            if (row >= 0 && row < s.height && column >= 0 && column < s.width) {
              sum += hidden[static_cast<size_t>(((n * s.height + row) * s.width + column) * s.hidden_channels + c)] *
                     static_cast<double>(weights.depthwise[static_cast<size_t>(c * s.window * s.window + tap)]);
            }
          }
          filtered.push_back(Relu6(sum));
        }
      }
    }
  }
  std::vector<double> y = Matrix(filtered, s.hidden_channels, weights.project, weights.project_bias);
  for (size_t i = 0; s.adds && i < y.size(); ++i) {
    y[i] += static_cast<double>(x[i]);
  }
  return y;
}

class InvertedResidualTest : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > BestIsa()) {
      GTEST_SKIP() << "this CPU has no " << IsaName(GetParam());
    }
  }

  std::vector<float> Run(const InvertedResidualShape& s, const std::vector<float>& x, const Weights& weights,
                         int threads) {
    std::vector<float> packed(static_cast<size_t>(PackedFloats(GetParam(), s)), kNaN);
    Pack(GetParam(), s, weights.view(), packed.data());
    // What lies behind must stay as it is.
    std::vector<float> workspace(static_cast<size_t>(WorkspaceFloats(GetParam(), s, threads)) + 16, kNaN);
    std::vector<float> y(static_cast<size_t>(s.batch * s.out_height * s.out_width * s.out_channels) + 16, kNaN);
    Forward(GetParam(), s, x.data(), packed.data(), threads, workspace.data(), y.data());
    for (size_t i = y.size() - 16; i < y.size(); ++i) {
      EXPECT_TRUE(std::isnan(y[i]));
    }
    y.resize(y.size() - 16);
    return y;
  }
};

// TensorFlow's SAME.
InvertedResidualShape Same(int64_t batch, int64_t side, int64_t in, int64_t expansion, int64_t out, int64_t window,
                           int64_t stride) {
  InvertedResidualShape s;
  s.batch = batch;
  s.height = side;
  s.width = side;
  s.out_height = (side + stride - 1) / stride;
  s.out_width = s.out_height;
  s.in_channels = in;
  s.hidden_channels = in * expansion;
  s.out_channels = out;
  s.window = window;
  s.stride = stride;
  s.pad_before = std::max<int64_t>(0, (s.out_height - 1) * stride + window - side) / 2;
  s.expands = expansion > 1;
  s.adds = stride == 1 && in == out;
  return s;
}

TEST_P(InvertedResidualTest, IsItsThreeConvolutions) {
  const InvertedResidualShape shapes[] = {
      Same(1, 1, 8, 6, 8, 3, 1),      // a pixel
      Same(2, 9, 32, 1, 16, 3, 1),    // without a first convolution
      Same(1, 7, 5, 1, 3, 3, 2),      // channels that fill no vector
      Same(2, 12, 16, 6, 24, 3, 2),   // one row of padding, behind
      Same(1, 13, 24, 6, 24, 3, 1),   // with the input added
      Same(3, 10, 24, 6, 40, 5, 2),   // two rows behind, one before
      Same(1, 11, 40, 6, 40, 5, 1),   //
      Same(1, 7, 7, 3, 19, 5, 1),     //
      Same(1, 4, 112, 6, 192, 5, 2),  // a window that is larger than the image
      Same(1, 64, 24, 6, 24, 5, 1),   // several bands
      Same(2, 65, 16, 6, 24, 3, 2),   //
  };
  for (const InvertedResidualShape& s : shapes) {
    const Weights weights(s);
    const auto x = Random(s.batch * s.height * s.width * s.in_channels, 7);
    const std::vector<double> expected = Reference(s, x, weights);
    double largest = 0;
    for (const double value : expected) {
      largest = std::max(largest, std::abs(value));
    }
    for (const int threads : {1, 2, 5}) {
      const auto y = Run(s, x, weights, threads);
      ASSERT_EQ(y.size(), expected.size());
      double worst = 0;
      for (size_t i = 0; i < y.size(); ++i) {
        const double error = std::abs(static_cast<double>(y[i]) - expected[i]);
        worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
      }
      EXPECT_LT(worst / largest, 2e-6) << s.height << " pixels, " << s.in_channels << " to " << s.out_channels
                                       << ", window " << s.window << ", stride " << s.stride << ", " << threads
                                       << " threads";
    }
  }
}

TEST_P(InvertedResidualTest, ThreadsAndTheBatchDoNotChangeABit) {
  const auto s = Same(3, 20, 24, 6, 24, 3, 1);
  const Weights weights(s);
  const auto x = Random(s.batch * s.height * s.width * s.in_channels, 8);
  const auto y = Run(s, x, weights, 1);
  EXPECT_EQ(Run(s, x, weights, 4), y);
  auto one = s;
  one.batch = 1;
  const auto floats = static_cast<int64_t>(x.size()) / 3;
  const std::vector<float> last(x.begin() + 2 * floats, x.end());
  EXPECT_EQ(Run(one, last, weights, 2), std::vector<float>(y.begin() + 2 * floats, y.end()));
}

TEST_P(InvertedResidualTest, NotANumberIsNotHidden) {
  const auto s = Same(1, 6, 8, 6, 8, 3, 1);
  const Weights weights(s);
  auto x = Random(s.height * s.width * s.in_channels, 9);
  x[(2 * 6 + 2) * 8] = kNaN;
  const auto y = Run(s, x, weights, 1);
  EXPECT_TRUE(std::isnan(y[(1 * 6 + 1) * 8]));
  EXPECT_FALSE(std::isnan(y[(4 * 6 + 4) * 8]));
}

INSTANTIATE_TEST_SUITE_P(Isas, InvertedResidualTest, ::testing::Values(Isa::kAvx2, Isa::kAvx512),
                         [](const auto& test) { return std::string(IsaName(test.param)); });

}  // namespace
}  // namespace graft::kernels
