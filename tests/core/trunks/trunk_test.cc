// The real trunk against Keras's own outputs (tests/golden/vgg16_features.safetensors).
#include "core/trunks/trunk.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "core/base/safetensors.h"
#include "core/nn/runtime.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

std::filesystem::path WeightsDir() { return std::filesystem::path(GRAFT_BINARY_DIR) / "share" / "graft" / "weights"; }

class TrunkTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    SetTorchThreads(2);
    auto trunk = Trunk::Load("vgg16", WeightsDir(), "cpu");
    ASSERT_THAT(trunk, IsOk()) << "deploy/fetch-weights brings the weights";
    trunk_ = *trunk;
  }
  static void TearDownTestSuite() { trunk_ = nullptr; }
  static std::shared_ptr<const Trunk> trunk_;
};
std::shared_ptr<const Trunk> TrunkTest::trunk_;

TEST_F(TrunkTest, FeaturesEqualKerass) {
  ASSERT_OK_AND_ASSIGN(const Safetensors images, Safetensors::Open(testing::Golden("resize.safetensors")));
  ASSERT_OK_AND_ASSIGN(const TensorView pixels, images.Get("resized", DType::kU8, {16, 150, 150, 3}));
  ASSERT_OK_AND_ASSIGN(const Safetensors golden, Safetensors::Open(testing::Golden("vgg16_features.safetensors")));
  for (const auto& [name, preprocessing] : {std::pair{"rescale", Preprocessing::kRescale},
                                            {"caffe", Preprocessing::kCaffe},
                                            {"caffe", Preprocessing::kAuto}}) {
    ASSERT_OK_AND_ASSIGN(const TensorView tensor, golden.Get(name, DType::kF32, {16, 4, 4, 512}));
    std::vector<float> expected(static_cast<size_t>(tensor.elements()));
    std::memcpy(expected.data(), tensor.data.data(), tensor.data.size());
    std::vector<float> found(expected.size());
    ASSERT_THAT(trunk_->Extract(pixels.data, 16, 150, preprocessing, absl::MakeSpan(found)), IsOk());
    const float largest = *std::max_element(expected.begin(), expected.end());
    float worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      worst = std::max(worst, std::abs(expected[i] - found[i]));
    }
    EXPECT_LT(worst / largest, 1e-4) << name;
  }
}

TEST_F(TrunkTest, AnImagesFeaturesDoNotDependOnItsBatch) {
  std::vector<uint8_t> pixels(3 * 64 * 64 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<uint8_t>(i * 7919 % 256);
  }
  const auto dimension = static_cast<size_t>(trunk_->dimension(64));
  std::vector<float> together(3 * dimension);
  std::vector<float> alone(dimension);
  ASSERT_THAT(trunk_->Extract(pixels, 3, 64, Preprocessing::kCaffe, absl::MakeSpan(together)), IsOk());
  const absl::Span<const uint8_t> last = absl::MakeConstSpan(pixels).subspan(2 * 64 * 64 * 3);
  ASSERT_THAT(trunk_->Extract(last, 1, 64, Preprocessing::kCaffe, absl::MakeSpan(alone)), IsOk());
  for (size_t i = 0; i < dimension; ++i) {
    ASSERT_NEAR(together[2 * dimension + i], alone[i], 1e-3) << i;
  }
}

TEST(TrunkFilesTest, MissingWeightsSayHowToGetThem) {
  const testing::TempDir dir;
  EXPECT_THAT(Trunk::Load("vgg16", dir.path(), "cpu"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("deploy/fetch-weights")));
}

TEST(TrunkFilesTest, WeightsOfAnotherShapeNameTheTensor) {
  const testing::TempDir dir;
  const std::vector<float> zeros(64 * 3 * 3 * 3);
  ASSERT_THAT(
      WriteSafetensors(TrunkFile(dir.path(), "vgg16"),
                       {{"features.0.weight", DType::kF32, {64, 3, 3, 3}, AsBytes(absl::MakeConstSpan(zeros))}}, {}),
      IsOk());
  EXPECT_THAT(Trunk::Load("vgg16", dir.path(), "cpu"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("features.0.bias")));
}

}  // namespace
}  // namespace graft
