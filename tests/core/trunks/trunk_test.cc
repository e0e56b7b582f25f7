// Every trunk of the table, with made weights; the real VGG16 against Keras's own outputs
// (tests/golden/vgg16_features.safetensors); the real EfficientNet-Lite, ResNet-50 and DINOv2 against timm's
// (trunks.safetensors).
#include "core/trunks/trunk.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "core/base/safetensors.h"
#include "core/base/sha256.h"
#include "core/nn/input_torch.h"
#include "core/nn/runtime.h"
#include "core/nn/tensors_torch.h"
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
  for (const auto& [name, preprocessing] :
       {std::pair{"rescale", Preprocessing::kRescale}, {"caffe", Preprocessing::kCaffe}}) {
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

// Of every trunk but VGG16, with weights in that folder.
void ExpectTimmsFeatures(absl::string_view name, const std::filesystem::path& weights) {
  ASSERT_OK_AND_ASSIGN(const Safetensors golden, Safetensors::Open(testing::Golden("trunks.safetensors")));
  for (const ConvolutionAlgorithm algorithm : {ConvolutionAlgorithm::kWinograd, ConvolutionAlgorithm::kOneDnn}) {
    SetConvolutionAlgorithm(algorithm);  // our kernels where there are some, or oneDNN's
    ASSERT_OK_AND_ASSIGN(const auto trunk, Trunk::Load(name, weights, "cpu"));
    const int size = trunk->info().image_size;
    ASSERT_OK_AND_ASSIGN(const TensorView pixels,
                         golden.Get(absl::StrCat(name, ".pixels"), DType::kU8, {1, size, size, 3}));
    const Shape shape = FeatureShape(trunk->info(), size);
    ASSERT_OK_AND_ASSIGN(const TensorView tensor,
                         golden.Get(std::string(name), DType::kF32, {1, shape[0], shape[1], shape[2]}));
    std::vector<float> expected(static_cast<size_t>(tensor.elements()));
    std::memcpy(expected.data(), tensor.data.data(), tensor.data.size());
    std::vector<float> found(expected.size());
    ASSERT_THAT(trunk->Extract(pixels.data, 1, size, trunk->info().preprocessing, absl::MakeSpan(found)), IsOk());
    const float largest = *std::max_element(expected.begin(), expected.end());
    float worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      worst = std::max(worst, std::abs(expected[i] - found[i]));
    }
    EXPECT_LT(worst / largest, 1e-4);
  }
  SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest);
}

TEST(LiteTest, FeaturesEqualTimms) {
  SetTorchThreads(2);
  for (const absl::string_view name : {"efficientnet_lite0", "efficientnet_lite2"}) {
    SCOPED_TRACE(std::string(name));
    ExpectTimmsFeatures(name, WeightsDir());
  }
}

// made() of tests/golden/make_trunks.py.
torch::Tensor MadeWeight(const std::string& name, const Shape& shape) {
  const std::string digest = absl::HexStringToBytes(Sha256Hex(name));
  uint64_t seed = 0;
  std::memcpy(&seed, digest.data(), sizeof(seed));
  torch::Tensor tensor = torch::empty(shape);
  auto* const values = tensor.data_ptr<float>();
  const double scale = std::sqrt(3.0 * static_cast<double>(shape[0]) / static_cast<double>(tensor.numel()));
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    uint64_t z = seed + static_cast<uint64_t>(i) + 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    const double u = std::ldexp(static_cast<double>((z ^ (z >> 31)) >> 40), -24);
    double value = (2 * u - 1) * scale;
    if (absl::EndsWith(name, "running_var")) {
      value = 0.5 + u;
    } else if (shape.size() == 1) {
      const bool factor = absl::EndsWith(name, "weight") || absl::EndsWith(name, "gamma");
      value = factor ? 0.75 + 0.5 * u : 0.2 * (u - 0.5);
    } else if (name == "cls_token" || name == "pos_embed") {
      value = 0.4 * (u - 0.5);
    }
    values[i] = static_cast<float>(value);
  }
  return tensor;
}

// Weights of a trunk; of a transformer's places, for a grid of that side.
void WriteTimmsMadeWeights(const TrunkInfo& trunk, const std::filesystem::path& dir, int64_t side = 37) {
  std::vector<NamedTensor> tensors;
  Shape shape = {trunk.stride, trunk.stride, 3};
  for (const LayerSpec& layer : trunk.layers()) {
    for (ParameterSpec& parameter : layer.Parameters(shape)) {
      const std::string name = layer.FileName(parameter);
      parameter.shape[1 % parameter.shape.size()] =
          parameter.any_side ? 1 + side * side : parameter.shape[1 % parameter.shape.size()];
      tensors.push_back({name, MadeWeight(name, parameter.shape)});
    }
    shape = layer.Output(shape);
  }
  ASSERT_THAT(WriteSafetensors(TrunkFile(dir, trunk.name), ViewsOf(tensors), {}), IsOk());
}

TEST(ResNetTest, FeaturesEqualTimms) {
  SetTorchThreads(2);
  const testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const TrunkInfo* trunk, FindTrunk("resnet50"));
  WriteTimmsMadeWeights(*trunk, dir.path());
  ExpectTimmsFeatures(trunk->name, dir.path());
}

TEST(DinoV2Test, TokensEqualTimmsAndFeaturesAreTheClassTokenAndTheMean) {
  SetTorchThreads(2);
  const testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const TrunkInfo* info, FindTrunk("dinov2_vits14"));
  WriteTimmsMadeWeights(*info, dir.path());
  ASSERT_OK_AND_ASSIGN(const auto trunk, Trunk::Load(info->name, dir.path(), "cpu"));
  ASSERT_OK_AND_ASSIGN(const Safetensors golden, Safetensors::Open(testing::Golden("trunks.safetensors")));
  ASSERT_OK_AND_ASSIGN(const TensorView pixels, golden.Get("dinov2_vits14.pixels", DType::kU8, {1, 224, 224, 3}));
  ASSERT_OK_AND_ASSIGN(const TensorView view, golden.Get("dinov2_vits14", DType::kF32, {1, 257, 384}));
  const torch::Tensor expected = TensorOf(view)[0];
  const torch::NoGradGuard no_grad;
  torch::Tensor tokens;
  const torch::Tensor input = InputTensor(pixels.data, 1, 224, info->preprocessing, torch::kCPU);
  trunk->Inspect(input, static_cast<int>(info->blocks.size()), [&](const std::string& name, const torch::Tensor& x) {
    tokens = name == "norm" ? x[0].select(1, 0).t() : tokens;
    return x;
  });
  const float largest = expected.abs().max().item<float>();
  EXPECT_LT((tokens - expected).abs().max().item<float>() / largest, 1e-4);

  std::vector<float> found(768);
  ASSERT_THAT(trunk->Extract(pixels.data, 1, 224, info->preprocessing, absl::MakeSpan(found)), IsOk());
  const torch::Tensor features = torch::cat({expected[0], expected.slice(0, 1).mean(0)});
  const torch::Tensor ours = torch::from_blob(found.data(), {768});
  EXPECT_LT((ours - features).abs().max().item<float>() / largest, 1e-4);
}

// As timm saves a network that was made for another size.
TEST(DinoV2Test, PlacesOfAnyGridAreTakenAndOthersRefused) {
  SetTorchThreads(2);
  const testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const TrunkInfo* info, FindTrunk("dinov2_vits14"));
  WriteTimmsMadeWeights(*info, dir.path(), 3);
  ASSERT_OK_AND_ASSIGN(const auto trunk, Trunk::Load(info->name, dir.path(), "cpu"));
  const torch::NoGradGuard no_grad;
  // 3 x 3 patches fit as they are; with zeros for what is missing to whole patches.
  const torch::Tensor small = torch::rand({1, 3, 40, 40}).contiguous(at::MemoryFormat::ChannelsLast);
  const torch::Tensor padded = torch::constant_pad_nd(small, {0, 2, 0, 2});
  EXPECT_TRUE(trunk->Forward(small).equal(trunk->Forward(padded.contiguous(at::MemoryFormat::ChannelsLast))));
  EXPECT_FALSE(trunk->Forward(small).equal(trunk->Forward(small.flip({3}))));

  ASSERT_OK_AND_ASSIGN(const Safetensors file, Safetensors::Open(TrunkFile(dir.path(), info->name)));
  std::vector<NamedTensor> tensors;
  for (const TensorView& view : file.tensors()) {
    tensors.push_back({view.name, view.name == "pos_embed" ? torch::zeros({1, 9, 384}) : TensorOf(view).clone()});
  }
  ASSERT_THAT(WriteSafetensors(TrunkFile(dir.path(), info->name), ViewsOf(tensors), {}), IsOk());
  EXPECT_THAT(Trunk::Load(info->name, dir.path(), "cpu"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("pos_embed")));
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

// What cached features belong to must not be guessed.
TEST_F(TrunkTest, PreprocessingMustBeResolved) {
  const std::vector<uint8_t> pixels(32 * 32 * 3);
  std::vector<float> out(static_cast<size_t>(trunk_->dimension(32)));
  EXPECT_THAT(trunk_->Extract(pixels, 1, 32, Preprocessing::kAuto, absl::MakeSpan(out)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("auto")));
}

// Weights that keep numbers in range: as He et al. start theirs.
void WriteMadeWeights(const TrunkInfo& trunk, const std::filesystem::path& path) {
  at::manual_seed(3);
  std::vector<NamedTensor> tensors;
  Shape shape = {trunk.stride, trunk.stride, 3};
  for (const LayerSpec& layer : trunk.layers()) {
    for (const ParameterSpec& parameter : layer.Parameters(shape)) {
      const double scale = parameter.fan_in == 0 ? 0.1 : std::sqrt(2.0 / static_cast<double>(parameter.fan_in));
      tensors.push_back({layer.FileName(parameter), torch::randn(parameter.shape).mul_(scale).add_(parameter.start)});
    }
    shape = layer.Output(shape);
  }
  ASSERT_THAT(WriteSafetensors(path, ViewsOf(tensors), {}), IsOk());
}

TEST(TrunkTableTest, EveryTrunkLoadsComputesWhatItsRowSaysAndStaysAsItIs) {
  SetTorchThreads(2);
  SetConvolutionAlgorithm(ConvolutionAlgorithm::kWinograd);  // whichever is faster may differ from trunk to trunk
  for (const TrunkInfo& info : Trunks()) {
    SCOPED_TRACE(std::string(info.name));
    const testing::TempDir dir;
    WriteMadeWeights(info, TrunkFile(dir.path(), info.name));
    ASSERT_OK_AND_ASSIGN(const auto trunk, Trunk::Load(info.name, dir.path(), "cpu"));
    EXPECT_EQ(&trunk->info(), &info);

    const auto side = static_cast<int>(2 * info.stride);
    const torch::Tensor images = torch::randint(256, {2, side, side, 3}, torch::kByte);
    const absl::Span<const uint8_t> bytes(images.data_ptr<uint8_t>(), static_cast<size_t>(images.numel()));
    std::vector<float> features(static_cast<size_t>(2 * trunk->dimension(side)));
    ASSERT_THAT(trunk->Extract(bytes, 2, side, info.preprocessing, absl::MakeSpan(features)), IsOk());

    const torch::Tensor input = InputTensor(bytes, 2, side, info.preprocessing, torch::kCPU);
    const std::vector<torch::Tensor> taps = trunk->Taps(input);
    ASSERT_EQ(taps.size(), info.blocks.size());
    Shape shape = {side, side, 3};
    for (size_t b = 0; b < taps.size(); ++b) {
      for (const LayerSpec& layer : info.blocks[b].layers) {
        shape = layer.Output(shape);
      }
      EXPECT_EQ(taps[b].sizes(), (torch::IntArrayRef{2, shape[2], shape[0], shape[1]})) << info.blocks[b].name;
      EXPECT_FALSE(taps[b].requires_grad()) << info.blocks[b].name;
    }
    EXPECT_EQ(shape, FeatureShape(info, side));
    const torch::Tensor last = trunk->Forward(input);
    EXPECT_TRUE(last.equal(taps.back()));
    const torch::Tensor rows = last.permute({0, 2, 3, 1}).contiguous();
    EXPECT_EQ(absl::MakeConstSpan(rows.data_ptr<float>(), features.size()), absl::MakeConstSpan(features));

    // The same weights give the same fingerprint and the same features; others give others.
    ASSERT_OK_AND_ASSIGN(const auto again, Trunk::Load(info.name, dir.path(), "cpu"));
    EXPECT_EQ(again->fingerprint(), trunk->fingerprint());
    EXPECT_TRUE(again->Forward(input).equal(last));
    EXPECT_FALSE(trunk->Forward(input + 1).equal(last));
  }
  SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest);
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
