// RMSprop against Keras's (tests/golden/rmsprop.safetensors).
#include "core/train/optimizers.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/safetensors.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

TEST(RmspropTest, FollowsKerasForTwentySteps) {
  ASSERT_OK_AND_ASSIGN(const Safetensors golden, Safetensors::Open(testing::Golden("rmsprop.safetensors")));
  ASSERT_OK_AND_ASSIGN(const TensorView gradients, golden.Get("gradients", DType::kF32, {20, 5}));
  ASSERT_OK_AND_ASSIGN(const TensorView parameters, golden.Get("parameters", DType::kF32, {20, 5}));
  std::vector<float> g(100);
  std::vector<float> expected(100);
  std::memcpy(g.data(), gradients.data.data(), gradients.data.size());
  std::memcpy(expected.data(), parameters.data.data(), parameters.data.size());
  std::vector<float> weight(5, 1.0F);
  std::vector<float> square(5, 0.0F);
  for (size_t step = 0; step < 20; ++step) {
    RmspropStep({}, 5, g.data() + 5 * step, square.data(), weight.data());
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_NEAR(weight[i], expected[5 * step + i], 1e-6) << "step " << step << ", weight " << i;
    }
  }
}

// A length that fills no vector: the remainder is computed by the same formula.
TEST(RmspropTest, EveryElementOfAnOddLengthIsUpdated) {
  constexpr int64_t kLength = 1003;
  std::vector<float> g(kLength);
  for (size_t i = 0; i < g.size(); ++i) {
    g[i] = static_cast<float>(i % 17) - 8.0F;
  }
  std::vector<float> weight(kLength, 0.5F);
  std::vector<float> square(kLength, 0.25F);
  const RmspropOptions options{0.01F, 0.8F, 1e-6F};
  RmspropStep(options, kLength, g.data(), square.data(), weight.data());
  for (size_t i = 0; i < g.size(); ++i) {
    const double s = 0.8 * 0.25 + 0.2 * g[i] * g[i];
    ASSERT_NEAR(square[i], s, 1e-5) << i;
    ASSERT_NEAR(weight[i], 0.5 - 0.01 * g[i] / std::sqrt(s + 1e-6), 1e-5) << i;
  }
}

}  // namespace
}  // namespace graft
