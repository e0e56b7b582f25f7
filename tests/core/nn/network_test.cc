// Networks on our own kernels and on oneDNN, against LibTorch in float64.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>

#include "absl/strings/match.h"
#include "core/base/safetensors.h"
#include "core/kernels/conv3x3.h"
#include "core/model/variants.h"
#include "core/nn/algorithm_choice.h"
#include "core/nn/input_torch.h"
#include "core/nn/layer_torch.h"
#include "core/nn/network_torch.h"
#include "core/nn/runtime.h"
#include "core/trunks/trunk.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// The same convolution in LibTorch's own operators, in the type of its tensors.
torch::Tensor Reference(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, int64_t padding,
                        bool pool) {
  const torch::Tensor y = torch::conv2d(x, weight, bias, 1, padding).relu();
  return pool ? torch::max_pool2d(y, 2) : y;
}

// A 3x3 convolution at work, with the pool that may follow.
std::unique_ptr<Layer> Convolution(const torch::Tensor& weight, const torch::Tensor& bias, int64_t padding, bool pool) {
  auto layer = MakeLayer(Conv2D{weight.size(0), {3, 1, padding, padding}}, {weight, bias});
  EXPECT_TRUE(!pool || layer->Fuse({"pool", MaxPool2D{}}));
  return layer;
}

std::unique_ptr<Layer> DenseOf(const torch::Tensor& weight, const torch::Tensor& bias, bool relu) {
  return MakeLayer(Dense{weight.size(0), relu ? Activation::kRelu : Activation::kNone}, {weight, bias});
}

double Error(const torch::Tensor& found, const torch::Tensor& expected) {
  return ((found.to(torch::kDouble) - expected).abs().max() / expected.abs().max()).item<double>();
}

double RelativeL2(const torch::Tensor& found, const torch::Tensor& expected) {
  return ((found.to(torch::kDouble) - expected).norm() / expected.norm()).item<double>();
}

class AlgorithmTest : public ::testing::TestWithParam<ConvolutionAlgorithm> {
 protected:
  void SetUp() override {
    SetTorchThreads(2);
    SetConvolutionAlgorithm(GetParam());
  }
  void TearDown() override { SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest); }
};

INSTANTIATE_TEST_SUITE_P(Algorithms, AlgorithmTest,
                         ::testing::Values(ConvolutionAlgorithm::kFastest, ConvolutionAlgorithm::kWinograd,
                                           ConvolutionAlgorithm::kOneDnn));

TEST_P(AlgorithmTest, ALookShowsEachLayerAndLeavesTheWeightsAlone) {
  const std::vector<LayerSpec> layers = {
      {"conv_1", Conv2D{8}},  {"pool_1", MaxPool2D{}}, {"conv_2", Conv2D{8}},  {"pool_2", MaxPool2D{}},
      {"flatten", Flatten{}}, {"dense", Dense{5}},     {"drop", Dropout{0.5}}, {"output", Dense{2, Activation::kNone}}};
  Network network(layers, {18, 18, 3}, torch::kCPU);
  network.Initialize(at::make_generator<at::CPUGeneratorImpl>(3));
  torch::Tensor x = torch::randn({2, 3, 18, 18}).contiguous(kChannelsLast);
  x.requires_grad_(true);
  std::vector<std::string> names;
  std::vector<torch::Tensor> made;
  const torch::Tensor out = network.Inspect(x, [&](const std::string& layer, const torch::Tensor& output) {
    names.push_back(layer);
    made.push_back(output);
    return output;
  });
  ASSERT_EQ(names.size(), layers.size());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(names[i], layers[i].name);
  }
  const std::vector<NamedTensor> weights = network.parameters();
  const auto weight = [&](size_t i) { return weights[i].tensor.detach().to(torch::kDouble); };
  torch::Tensor expected = x.detach().to(torch::kDouble).requires_grad_(true);
  const torch::Tensor start = expected;
  for (size_t conv = 0; conv < 2; ++conv) {
    expected = Reference(expected, weight(2 * conv), weight(2 * conv + 1), 0, /*pool=*/false);
    EXPECT_LT(Error(made[2 * conv], expected), 1e-5);
    expected = torch::max_pool2d(expected, 2);
    EXPECT_LT(Error(made[2 * conv + 1], expected), 1e-5);
  }
  expected = torch::linear(expected.permute({0, 2, 3, 1}).flatten(1), weight(4), weight(5)).relu();
  EXPECT_LT(Error(made[5], expected), 1e-5);
  expected = torch::linear(expected, weight(6), weight(7));
  EXPECT_LT(Error(out, expected), 1e-5);
  {
    const torch::NoGradGuard no_grad;
    EXPECT_LT(Error(network.Forward(x), expected), 1e-5);
  }
  out.select(1, 0).sum().backward();
  expected.select(1, 0).sum().backward();
  EXPECT_LT(Error(x.grad(), start.grad()), 1e-4);
  for (const NamedTensor& parameter : weights) {
    EXPECT_FALSE(parameter.tensor.grad().defined()) << parameter.name;
  }
}

TEST_P(AlgorithmTest, FeaturesOfRealPhotographsAreThoseOfFloat64) {
  const std::filesystem::path weights = std::filesystem::path(GRAFT_BINARY_DIR) / "share/graft/weights";
  ASSERT_OK_AND_ASSIGN(const auto trunk, Trunk::Load("vgg16", weights, "cpu"));
  ASSERT_OK_AND_ASSIGN(const Safetensors images, Safetensors::Open(testing::Golden("resize.safetensors")));
  ASSERT_OK_AND_ASSIGN(const TensorView pixels, images.Get("resized", DType::kU8, {16, 150, 150, 3}));
  constexpr int64_t kCount = 2;
  const auto bytes = absl::MakeConstSpan(pixels.data).first(kCount * 150 * 150 * 3);
  torch::Tensor found = torch::empty({kCount, 4, 4, 512});
  ASSERT_THAT(trunk->Extract(bytes, kCount, 150, Preprocessing::kCaffe,
                             absl::MakeSpan(found.data_ptr<float>(), static_cast<size_t>(found.numel()))),
              testing::IsOk());

  torch::NoGradGuard no_grad;
  ASSERT_OK_AND_ASSIGN(const Safetensors file, Safetensors::Open(weights / "vgg16.safetensors"));
  torch::Tensor x = InputTensor(bytes, kCount, 150, Preprocessing::kCaffe, torch::kCPU).to(torch::kDouble).contiguous();
  int layer = 0;
  for (const auto& [convolutions, pool_after] : {std::pair{2, 5}, {2, 10}, {3, 17}, {3, 24}, {3, 31}}) {
    for (int c = 0; c < convolutions; ++c) {
      torch::Tensor parameter[2];
      for (int p = 0; p < 2; ++p) {
        const TensorView* const view = file.Find(absl::StrCat("features.", layer, p == 0 ? ".weight" : ".bias"));
        ASSERT_NE(view, nullptr) << layer;
        parameter[p] =
            torch::from_blob(const_cast<uint8_t*>(view->data.data()), view->shape, torch::kFloat).to(torch::kDouble);
      }
      x = Reference(x, parameter[0], parameter[1], 1, c + 1 == convolutions);
      layer += 2;
    }
    ++layer;
    EXPECT_EQ(layer, pool_after);
  }
  const double error = Error(found, x.permute({0, 2, 3, 1}));
  RecordProperty("error", std::to_string(error));
  std::cout << "error of features: " << error << "\n";
  EXPECT_LT(error, 1e-5);
}

// Two layers, so that the gradient of an input counts too.
struct Layers {
  std::vector<torch::Tensor> parameters;

  Layers() {
    at::manual_seed(3);
    const torch::TensorOptions options;
    for (const auto& [in, out] : {std::pair<int64_t, int64_t>{3, 16}, {16, 40}, {40, 64}}) {
      parameters.push_back(torch::randn({out, in, 3, 3}).mul_(std::sqrt(2.0 / (9.0 * in))).contiguous(kChannelsLast));
      parameters.push_back(torch::randn({out}).mul_(0.1));
    }
    for (torch::Tensor& p : parameters) {
      p.set_requires_grad(true);
    }
  }
};

std::vector<torch::Tensor> GradientsInFloat64(const Layers& layers, const torch::Tensor& x, const torch::Tensor& top) {
  std::vector<torch::Tensor> p;
  for (const torch::Tensor& parameter : layers.parameters) {
    p.push_back(parameter.detach().to(torch::kDouble).contiguous().set_requires_grad(true));
  }
  torch::Tensor y = Reference(x.to(torch::kDouble).contiguous(), p[0], p[1], 0, true);
  y = Reference(y, p[2], p[3], 1, false);
  y = Reference(y, p[4], p[5], 0, true);
  (y * top.to(torch::kDouble)).sum().backward();
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : p) {
    gradients.push_back(parameter.grad());
  }
  return gradients;
}

std::vector<torch::Tensor> GradientsOf(ConvolutionAlgorithm algorithm, const torch::Tensor& x,
                                       const torch::Tensor& top) {
  SetConvolutionAlgorithm(algorithm);
  const Layers layers;
  const auto& p = layers.parameters;
  const auto first = Convolution(p[0], p[1], 0, true);
  const auto second = Convolution(p[2], p[3], 1, false);
  const auto third = Convolution(p[4], p[5], 0, true);
  (third->Forward(second->Forward(first->Forward(x, {}), {}), {}) * top).sum().backward();
  SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest);
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : p) {
    gradients.push_back(parameter.grad());
  }
  return gradients;
}

TEST(GradientTest, AreAsCloseToFloat64AsOneDnns) {
  SetTorchThreads(2);
  at::manual_seed(4);
  const torch::Tensor x = torch::rand({5, 3, 39, 33}).contiguous(kChannelsLast);
  const torch::Tensor top = torch::randn({5, 64, 8, 6}).contiguous(kChannelsLast);
  const auto expected = GradientsInFloat64(Layers(), x, top);
  const auto own = GradientsOf(ConvolutionAlgorithm::kWinograd, x, top);
  const auto onednn = GradientsOf(ConvolutionAlgorithm::kOneDnn, x, top);
  double own_worst = 0;
  double onednn_worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    own_worst = std::max(own_worst, RelativeL2(own[i], expected[i]));
    onednn_worst = std::max(onednn_worst, RelativeL2(onednn[i], expected[i]));
  }
  std::cout << "worst gradient: ours " << own_worst << ", oneDNN's " << onednn_worst << "\n";
  // Ours is the same on every instruction set, 1.4e-6; oneDNN's is 6.4e-7 with AVX2 and 4.5e-7 with AVX-512, which adds
  // up in more parts.
  EXPECT_LT(own_worst, 4 * onednn_worst);
  EXPECT_LT(own_worst, 2e-6);
}

TEST(GradientTest, PassesThroughLayersThatAreFrozen) {
  SetTorchThreads(2);
  at::manual_seed(7);
  const torch::Tensor weight = torch::randn({16, 16, 3, 3}).contiguous(kChannelsLast);
  const torch::Tensor bias = torch::zeros({16});
  const torch::Tensor dense_weight = torch::randn({5, 16 * 36});
  const torch::Tensor dense_bias = torch::zeros({5});
  const auto convolution = Convolution(weight, bias, 1, false);
  const auto dense = DenseOf(dense_weight, dense_bias, true);
  torch::Tensor x = torch::randn({2, 16, 6, 6}).contiguous(kChannelsLast).set_requires_grad(true);
  dense->Forward(convolution->Forward(x, {}).permute({0, 2, 3, 1}).flatten(1), {}).sum().backward();
  torch::Tensor reference = x.detach().to(torch::kDouble).set_requires_grad(true);
  const torch::Tensor y = Reference(reference, weight.to(torch::kDouble), bias.to(torch::kDouble), 1, false);
  torch::linear(y.permute({0, 2, 3, 1}).flatten(1), dense_weight.to(torch::kDouble), dense_bias.to(torch::kDouble))
      .relu()
      .sum()
      .backward();
  ASSERT_TRUE(x.grad().defined());
  EXPECT_LT(Error(x.grad(), reference.grad()), 1e-5);
}

TEST(GradientTest, ValidationAfterAStepSeesTheNewWeights) {
  SetTorchThreads(2);
  Layers layers;
  const auto convolution = Convolution(layers.parameters[2], layers.parameters[3], 1, false);
  const torch::Tensor x = torch::rand({2, 16, 12, 12}).contiguous(kChannelsLast);
  for (int step = 0; step < 2; ++step) {
    convolution->Forward(x, {}).sum().backward();
    torch::NoGradGuard no_grad;
    layers.parameters[2].sub_(layers.parameters[2].grad(), 1e-4);
    const torch::Tensor expected = Reference(x, layers.parameters[2], layers.parameters[3], 1, false);
    EXPECT_LT(Error(convolution->Forward(x, {}), expected.to(torch::kDouble)), 1e-5) << step;
  }
}

TEST(DenseTest, EveryBatchEqualsFloat64) {
  SetTorchThreads(2);
  at::manual_seed(5);
  torch::Tensor weight = torch::randn({70, 301});
  const torch::Tensor bias = torch::randn({70});
  for (const bool relu : {false, true}) {
    const auto dense = DenseOf(weight, bias, relu);
    torch::NoGradGuard no_grad;
    for (const int64_t batch : {1, 2, 7, 64}) {
      const torch::Tensor x = torch::randn({batch, 301});
      torch::Tensor expected = torch::linear(x.to(torch::kDouble), weight.to(torch::kDouble), bias.to(torch::kDouble));
      expected = relu ? expected.relu() : expected;
      EXPECT_LT(Error(dense->Forward(x, {}), expected), 1e-5) << batch;
    }
  }
}

TEST(DenseTest, ValidationAfterAStepSeesTheNewWeights) {
  SetTorchThreads(2);
  torch::Tensor weight = torch::randn({8, 16}).set_requires_grad(true);
  const torch::Tensor bias = torch::zeros({8});
  const auto dense = DenseOf(weight, bias, true);
  const torch::Tensor x = torch::randn({4, 16});
  for (int step = 0; step < 2; ++step) {
    dense->Forward(x, {}).sum().backward();
    torch::NoGradGuard no_grad;
    weight.sub_(weight.grad(), 0.1);
    EXPECT_LT(Error(dense->Forward(x, {}), torch::linear(x, weight, bias).relu().to(torch::kDouble)), 1e-5) << step;
  }
}

// Whatever isn't for our kernels: other windows, strides, uneven padding, no ReLU; forward and gradients.
TEST(LayerTest, WindowsOfEveryKindEqualFloat64) {
  SetTorchThreads(2);
  at::manual_seed(8);
  const Conv2D cases[] = {
      {8, {1, 1, 0, 0}}, {8, {3, 1, 1, 1}, Activation::kNone}, {8, {3, 2, 1, 1}},
      {8, {3, 2, 0, 1}}, {8, {5, 2, 1, 2}, Activation::kNone}, {8, {7, 3, 3, 3}},
      {8, {3, 1, 2, 1}},
  };
  for (const Conv2D& spec : cases) {
    SCOPED_TRACE(absl::StrCat(spec.window.size, ", stride ", spec.window.stride, ", padding ", spec.window.pad_before,
                              " and ", spec.window.pad_after));
    const Window& window = spec.window;
    const Shape input = {19, 14, 5};
    const auto parameters = spec.Parameters(input);
    torch::Tensor weight = torch::randn(parameters[0].shape).contiguous(kChannelsLast);
    torch::Tensor bias = torch::randn(parameters[1].shape);
    const torch::Tensor x = torch::randn({3, 5, 19, 14}).contiguous(kChannelsLast);
    const auto layer = MakeLayer(spec, {weight, bias});

    torch::Tensor weight64 = weight.to(torch::kDouble).contiguous().set_requires_grad(true);
    const torch::Tensor padded = torch::constant_pad_nd(
        x.to(torch::kDouble), {window.pad_before, window.pad_after, window.pad_before, window.pad_after});
    torch::Tensor expected = torch::conv2d(padded, weight64, bias.to(torch::kDouble), window.stride);
    expected = spec.activation == Activation::kRelu ? expected.relu() : expected;
    const Shape output = spec.Output(input);
    ASSERT_EQ(expected.sizes(), (torch::IntArrayRef{3, output[2], output[0], output[1]}));

    EXPECT_LT(Error(layer->Forward(x, {}), expected.detach()), 1e-5);
    weight.set_requires_grad(true);
    layer->Forward(x, {}).square().sum().backward();
    expected.square().sum().backward();
    EXPECT_LT(Error(weight.grad(), weight64.grad()), 1e-5);
    {
      const torch::NoGradGuard no_grad;
      EXPECT_LT(Error(layer->Forward(x, {}), expected.detach()), 1e-5);
    }
  }
}

TEST(LayerTest, ATimingWaitsForWhatRuns) {
  if (kernels::BestIsa() == kernels::Isa::kNone) {
    GTEST_SKIP() << "no kernels for this CPU, so nothing is timed";
  }
  SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest);
  const auto layer = Convolution(torch::rand({4, 4, 3, 3}).contiguous(kChannelsLast), torch::zeros({4}), 1, false);
  const torch::Tensor x = torch::rand({1, 4, 8, 8}).contiguous(kChannelsLast);
  TimingGate().ReaderLock();  // as a batch that runs
  std::future<torch::Tensor> first = std::async(std::launch::async, [&] {
    const torch::NoGradGuard no_grad;
    return layer->Forward(x, {});
  });
  // Nobody gets in any more once the timing waits to be alone.
  bool done = false;
  while (!done && TimingGate().ReaderTryLock()) {
    TimingGate().ReaderUnlock();
    done = first.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  EXPECT_FALSE(done) << "it was timed beside a batch";
  TimingGate().ReaderUnlock();
  EXPECT_EQ(first.get().sizes(), x.sizes());
}

TEST(LayerTest, PoolsOfEveryKindEqualLibTorchs) {
  const torch::Tensor x = torch::randn({2, 5, 9, 14}).contiguous(kChannelsLast) - 3;
  for (const Window& window : {Window{2, 2, 0, 0}, {3, 2, 1, 1}, {3, 2, 0, 1}}) {
    const torch::Tensor padded =
        torch::constant_pad_nd(x, {window.pad_before, window.pad_after, window.pad_before, window.pad_after}, -1e9);
    EXPECT_TRUE(
        MakeLayer(MaxPool2D{window}, {})->Forward(x, {}).equal(torch::max_pool2d(padded, window.size, window.stride)));
  }
}

TEST(LayerTest, DropoutIsLibTorchsAndDrawsFromItsOwnGenerator) {
  const torch::Tensor x = torch::randn({40, 50});
  const auto layer = MakeLayer(Dropout{0.3}, {});
  EXPECT_TRUE(layer->Forward(x, {}).equal(x)) << "outside of training it does nothing";
  at::manual_seed(5);
  const torch::Tensor expected = torch::dropout(x, 0.3, true);
  at::Generator generator = at::globalContext().defaultGenerator(torch::kCPU).clone();
  generator.set_current_seed(5);
  EXPECT_TRUE(layer->Forward(x, {true, generator}).equal(expected));
  EXPECT_FALSE(layer->Forward(x, {true, generator}).equal(expected));
}

TEST(NetworkTest, PoolsThatFollowNoConvolutionArePoolsToo) {
  Network network({{"first", MaxPool2D{}}, {"conv2d", Conv2D{4}}, {"second", MaxPool2D{}}, {"third", MaxPool2D{}}},
                  {20, 20, 3}, torch::kCPU);
  network.Initialize(at::globalContext().defaultGenerator(torch::kCPU));
  torch::NoGradGuard no_grad;
  const torch::Tensor x = torch::rand({1, 20, 20, 3}).permute({0, 3, 1, 2});
  const auto weights = network.parameters();
  const torch::Tensor expected =
      torch::max_pool2d(Reference(torch::max_pool2d(x, 2), weights[0].tensor, weights[1].tensor, 0, true), 2);
  const torch::Tensor found = network.Forward(x);
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_LT(Error(found, expected.to(torch::kDouble)), 1e-5);
}

TEST(NetworkTest, StartsAsKerasDoes) {
  Network network({{"conv2d", Conv2D{30}}, {"flatten", Flatten{}}, {"dense", Dense{50}}}, {6, 6, 20}, torch::kCPU);
  network.Initialize(at::globalContext().defaultGenerator(torch::kCPU));
  const auto parameters = network.parameters();
  ASSERT_EQ(parameters.size(), 4U);
  const double limits[] = {std::sqrt(6.0 / (9 * 20 + 9 * 30)), 0, std::sqrt(6.0 / (16 * 30 + 50)), 0};
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto largest = parameters[i].tensor.abs().max().item<double>();
    EXPECT_LE(largest, limits[i] * (1 + 1e-6)) << parameters[i].name;
    EXPECT_GE(largest, limits[i] * 0.98) << parameters[i].name;
  }
}

// The named option's error, measured: 8 bits of 24 are left.
TEST(NetworkTest, Bfloat16IsNearFloat32) {
  SetTorchThreads(2);
  at::manual_seed(6);
  const Variant* const variant = *FindVariant("basic_cnn");
  TrainingOptions options = variant->reference;
  options.image_size = 46;
  options.dense_units = 32;
  Network network(variant->layers(options, 3), {46, 46, 3}, torch::kCPU);
  network.Initialize(at::globalContext().defaultGenerator(torch::kCPU));
  const torch::Tensor x = torch::rand({4, 46, 46, 3}).permute({0, 3, 1, 2});
  torch::Tensor gradients[2];
  torch::Tensor logits[2];
  for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16}) {
    network.ZeroGradients();
    torch::Tensor& result = logits[precision == Precision::kBfloat16];
    result = network.Forward(x, {}, precision);
    EXPECT_EQ(result.scalar_type(), torch::kFloat);
    result.square().sum().backward();
    const torch::Tensor gradient = network.parameters()[0].tensor.grad();
    EXPECT_EQ(gradient.scalar_type(), torch::kFloat);
    gradients[precision == Precision::kBfloat16] = gradient.detach().clone();
  }
  const double error = Error(logits[1].detach(), logits[0].detach().to(torch::kDouble));
  const double gradient_error = RelativeL2(gradients[1], gradients[0].to(torch::kDouble));
  std::cout << "bfloat16: logits " << error << ", gradient of the first layer " << gradient_error << "\n";
  EXPECT_GT(error, 1e-6) << "it wasn't bfloat16 at all";
  EXPECT_LT(error, 0.03);
  EXPECT_LT(gradient_error, 0.25);
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU)) << "left on";
}

// A layer that trains takes the batch's statistics and moves its running ones; else these hold, folded into the
// convolutions, and what was folded before is forgotten once the layer has trained.
TEST(LayerTest, BatchNormsMoveWhileTheyTrainAndAreFoldedElse) {
  SetTorchThreads(2);
  at::manual_seed(17);
  const std::vector<LayerSpec> layers = {
      {"stem", ConvNorm2D{8, Window::Same(3, 2), Activation::kRelu6}},
      {"block", InvertedResidual{6, 8, Window::Same(3, 1)}},
      {"narrow", InvertedResidual{1, 5, Window::Same(5, 2)}},
      {"project", Bottleneck{3, 2}},
      {"deep", Bottleneck{3, 1}},
  };
  Network network(layers, {17, 17, 3}, torch::kCPU);
  network.Initialize(at::make_generator<at::CPUGeneratorImpl>(3));
  const torch::Tensor x = torch::randn({6, 3, 17, 17}).contiguous(at::MemoryFormat::ChannelsLast);
  const auto statistics = [&] {
    std::vector<torch::Tensor> all;
    for (const auto& [name, tensor] : network.changing()) {
      if (!tensor.requires_grad()) {
        all.push_back(tensor.flatten().clone());
      }
    }
    return torch::cat(all);
  };
  const auto folded = [&] {
    const torch::NoGradGuard no_grad;
    return network.Forward(x);
  };

  Pass pass;
  pass.training = true;
  torch::Tensor before = folded();
  for (int step = 0; step < 2; ++step) {
    const torch::Tensor at_first = statistics();
    const torch::Tensor y = network.Forward(x, pass);
    EXPECT_FALSE(statistics().equal(at_first)) << "nothing moved";
    y.square().sum().backward();
    const torch::NoGradGuard no_grad;
    for (const auto& [name, tensor] : network.changing()) {
      if (tensor.requires_grad()) {
        ASSERT_TRUE(tensor.grad().defined()) << name;
        torch::Tensor weight = tensor;
        weight.sub_(tensor.grad(), 1e-3);
      }
    }
    network.ZeroGradients();

    const torch::Tensor now = statistics();
    const torch::Tensor after = folded();
    EXPECT_GT(Error(after, before.to(torch::kDouble)), 1e-3) << "folded of old weights";
    EXPECT_TRUE(statistics().equal(now)) << "moved outside of training";
    const at::AutoGradMode gradients(true);
    EXPECT_LT(Error(after, network.Forward(x).detach().to(torch::kDouble)), 1e-5) << "not what it does unfolded";
    before = folded();
  }
  // By as much of the batch's as the pass says; by nothing where they stand still, and then they are what it trains
  // with.
  const auto moved = [&](double share) {
    const torch::Tensor from = statistics();
    pass.norm_momentum = share;
    const torch::Tensor y = network.Forward(x, pass).detach();
    return std::pair(y, statistics() - from);
  };
  const torch::Tensor start = statistics();
  const torch::Tensor tenth = moved(0.1).second;
  for (auto& [name, tensor] : network.changing()) {
    if (!tensor.requires_grad()) {
      torch::Tensor running = tensor;
      running.fill_(absl::EndsWith(name, "running_var") ? 1 : 0);
    }
  }
  const torch::Tensor at_start = statistics();
  const torch::Tensor half = moved(0.5).second;
  const torch::Tensor towards = at_start + 2 * half;  // the batch's own
  EXPECT_LT((start + tenth - (start + 0.1 * (towards - start))).abs().max().item<float>(),
            1e-4 * towards.abs().max().item<float>());
  const auto [trained, by] = moved(0);
  EXPECT_EQ(by.abs().max().item<float>(), 0);
  EXPECT_LT(Error(trained, folded().to(torch::kDouble)), 1e-5);

  // What gradients aren't wanted of stays as it is, in training too.
  for (auto& [name, tensor] : network.changing()) {
    tensor.set_requires_grad(false);
  }
  const torch::Tensor still = statistics();
  network.Forward(x, pass);
  EXPECT_TRUE(statistics().equal(still));
}

// Features come as a trunk makes them, or as the rows that were cached of them.
TEST(NetworkTest, RowsAreImagesInTheOrderHeightWidthChannels) {
  const torch::NoGradGuard no_grad;
  at::manual_seed(5);
  const torch::Tensor images = torch::randn({4, 6, 3, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  const torch::Tensor rows = images.permute({0, 2, 3, 1}).reshape({4, -1});
  for (const LayerSpec& first : {LayerSpec{"average", GlobalAveragePool2D{}}, {"flatten", Flatten{}}}) {
    Network network({first, {"output", Dense{2, Activation::kNone}}}, {3, 2, 6}, torch::kCPU);
    network.Initialize(at::make_generator<at::CPUGeneratorImpl>(3));
    EXPECT_TRUE(network.Forward(rows).equal(network.Forward(images))) << first.name;
  }
  Network average({{"average", GlobalAveragePool2D{}}}, {3, 2, 6}, torch::kCPU);
  const torch::Tensor expected = images.to(torch::kDouble).flatten(2).mean(2);
  EXPECT_LT(Error(average.Forward(rows), expected), 1e-6);
  EXPECT_TRUE(average.Forward(expected.to(torch::kFloat).view({4, 6, 1, 1})).equal(expected.to(torch::kFloat)));
}

}  // namespace
}  // namespace graft
