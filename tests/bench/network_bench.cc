// The networks themselves: each kernel beside what LibTorch has for the same work, and whole training steps.
#include <ATen/core/dispatch/Dispatcher.h>
#include <benchmark/benchmark.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <memory>
#include <string>

#include "core/kernels/conv3x3.h"
#include "core/model/trunks.h"
#include "core/nn/layer_torch.h"
#include "core/nn/network_torch.h"
#include "core/nn/runtime.h"
#include "tests/bench/bench.h"

namespace graft {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// A layer of VGG16 at 150 x 150: side of its input, channels in and out; the last argument is the batch.
void VggLayers(benchmark::internal::Benchmark* benchmark) {
  for (const int64_t batch : {1, 30}) {
    for (const auto& [side, in, out] : {std::tuple<int64_t, int64_t, int64_t>{150, 3, 64},
                                        {150, 64, 64},
                                        {75, 64, 128},
                                        {75, 128, 128},
                                        {37, 128, 256},
                                        {37, 256, 256},
                                        {18, 256, 512},
                                        {18, 512, 512},
                                        {9, 512, 512}}) {
      benchmark->Args({side, in, out, batch});
    }
  }
  benchmark->ArgNames({"side", "in", "out", "batch"})->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(0.3);
}

struct VggLayer {
  torch::Tensor x;
  torch::Tensor weight;
  torch::Tensor bias;
  std::unique_ptr<Layer> convolution;

  explicit VggLayer(const benchmark::State& state)
      : x(torch::rand({state.range(3), state.range(1), state.range(0), state.range(0)}).contiguous(kChannelsLast)),
        weight(torch::randn({state.range(2), state.range(1), 3, 3}).mul_(0.05).contiguous(kChannelsLast)),
        bias(torch::zeros({state.range(2)})),
        convolution(MakeLayer(Conv2D{weight.size(0), {3, 1, 1, 1}}, {weight, bias})) {}
};

void BM_Convolution(benchmark::State& state, ConvolutionAlgorithm algorithm) {
  SetTorchThreads(BenchThreads());
  SetConvolutionAlgorithm(algorithm);
  torch::NoGradGuard no_grad;
  VggLayer layer(state);
  layer.convolution->Forward(layer.x, {});
  for (auto _ : state) {
    benchmark::DoNotOptimize(layer.convolution->Forward(layer.x, {}));
  }
  SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest);
}
BENCHMARK_CAPTURE(BM_Convolution, own, ConvolutionAlgorithm::kWinograd)->Apply(VggLayers);
BENCHMARK_CAPTURE(BM_Convolution, onednn, ConvolutionAlgorithm::kOneDnn)->Apply(VggLayers);

// Gradients of weights, bias and input.
void BM_ConvolutionBackward(benchmark::State& state, ConvolutionAlgorithm algorithm) {
  SetTorchThreads(BenchThreads());
  SetConvolutionAlgorithm(algorithm);
  VggLayer layer(state);
  layer.weight.set_requires_grad(true);
  layer.bias.set_requires_grad(true);
  layer.x.set_requires_grad(layer.x.size(1) > 3);
  const torch::Tensor y = layer.convolution->Forward(layer.x, {});
  const torch::Tensor gradient = torch::ones_like(y);
  const auto inputs = layer.x.requires_grad() ? std::vector<torch::Tensor>{layer.weight, layer.bias, layer.x}
                                              : std::vector<torch::Tensor>{layer.weight, layer.bias};
  for (auto _ : state) {
    benchmark::DoNotOptimize(torch::autograd::grad({y}, inputs, {gradient}, true));
  }
  SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest);
}
void VggLayersTraining(benchmark::internal::Benchmark* benchmark) {
  for (const auto& [side, in, out] : {std::tuple<int64_t, int64_t, int64_t>{150, 3, 64},
                                      {150, 64, 64},
                                      {75, 128, 128},
                                      {37, 256, 256},
                                      {18, 512, 512},
                                      {9, 512, 512}}) {
    benchmark->Args({side, in, out, 30});
  }
  benchmark->ArgNames({"side", "in", "out", "batch"})->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(0.3);
}
BENCHMARK_CAPTURE(BM_ConvolutionBackward, own, ConvolutionAlgorithm::kWinograd)->Apply(VggLayersTraining);
BENCHMARK_CAPTURE(BM_ConvolutionBackward, onednn, ConvolutionAlgorithm::kOneDnn)->Apply(VggLayersTraining);

void BM_MaxPool(benchmark::State& state, bool own) {
  SetTorchThreads(BenchThreads());
  torch::NoGradGuard no_grad;
  const torch::Tensor x = torch::rand({30, 64, 150, 150}).contiguous(kChannelsLast);
  torch::Tensor y = torch::max_pool2d(x, 2);
  const kernels::Isa isa = kernels::BestIsa();
  if (own && isa == kernels::Isa::kNone) {
    state.SkipWithError("no kernels for this CPU");
  }
  for (auto _ : state) {
    if (own) {
      kernels::MaxPool(isa, 30, 150, 150, 64, x.data_ptr<float>(), BenchThreads(), y.data_ptr<float>());
    } else {
      benchmark::DoNotOptimize(torch::max_pool2d(x, 2));
    }
  }
}
BENCHMARK_CAPTURE(BM_MaxPool, own, true)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(BM_MaxPool, torch, false)->Unit(benchmark::kMillisecond)->UseRealTime();

// Forward and backward of VGG16's trunk on 30 images; the first `frozen` convolutions are not trained.
void BM_TrunkStep(benchmark::State& state, int frozen) {
  SetTorchThreads(BenchThreads());
  Network network((*FindTrunk("vgg16"))->layers(), {150, 150, 3}, torch::kCPU);
  network.Initialize(at::globalContext().defaultGenerator(torch::kCPU));
  int i = 0;
  for (NamedTensor& parameter : network.parameters()) {
    parameter.tensor.set_requires_grad(i++ >= 2 * frozen);
  }
  const torch::Tensor x = torch::rand({30, 150, 150, 3}).permute({0, 3, 1, 2});
  const auto step = [&] {
    network.ZeroGradients();
    network.Forward(x).sum().backward();
  };
  step();
  for (auto _ : state) {
    step();
  }
}
BENCHMARK_CAPTURE(BM_TrunkStep, all, 0)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);
BENCHMARK_CAPTURE(BM_TrunkStep, blocks_4_and_5, 7)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);

// Forward of the frozen blocks of EfficientNet-Lite0 and forward and backward of the last two, on 8 images: a step of
// its variant _finetuned without the head.
void BM_LiteStep(benchmark::State& state) {
  SetTorchThreads(BenchThreads());
  const TrunkInfo& trunk = **FindTrunk("efficientnet_lite0");
  std::vector<LayerSpec> frozen;
  std::vector<LayerSpec> trained;
  for (size_t i = 0; i < trunk.blocks.size(); ++i) {
    for (LayerSpec layer : trunk.blocks[i].layers) {
      layer.trainable = i + 2 >= trunk.blocks.size();
      (layer.trainable ? trained : frozen).push_back(std::move(layer));
    }
  }
  const Shape image = {trunk.image_size, trunk.image_size, 3};
  Network before(frozen, image, torch::kCPU);
  Network last(trained, FeatureShape(trunk, trunk.image_size, static_cast<int>(trunk.blocks.size()) - 2), torch::kCPU);
  before.Initialize(at::globalContext().defaultGenerator(torch::kCPU));
  last.Initialize(at::globalContext().defaultGenerator(torch::kCPU));
  const torch::Tensor x = torch::rand({8, image[0], image[1], 3}).permute({0, 3, 1, 2});
  Pass training;
  training.training = true;
  const auto step = [&] {
    torch::Tensor features;
    {
      const torch::NoGradGuard no_grad;
      features = before.Forward(x);
    }
    last.ZeroGradients();
    last.Forward(features, training).sum().backward();
  };
  step();
  for (auto _ : state) {
    step();
  }
}
BENCHMARK(BM_LiteStep)->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(1);

// The dense layers of basic_cnn and of the head on features, forward.
void BM_Dense(benchmark::State& state, bool own) {
  SetTorchThreads(BenchThreads());
  torch::NoGradGuard no_grad;
  const torch::Tensor x = torch::rand({state.range(0), state.range(1)});
  const torch::Tensor weight = torch::rand({512, state.range(1)});
  const torch::Tensor bias = torch::rand({512});
  const auto dense = MakeLayer(Dense{weight.size(0)}, {weight, bias});
  for (auto _ : state) {
    benchmark::DoNotOptimize(own ? dense->Forward(x, {}) : torch::linear(x, weight, bias).relu_());
  }
}
void DenseLayers(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"batch", "inputs"})
      ->ArgsProduct({{1, 8, 30}, {8192, 36992}})
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}
BENCHMARK_CAPTURE(BM_Dense, own, true)->Apply(DenseLayers);
BENCHMARK_CAPTURE(BM_Dense, torch, false)->Apply(DenseLayers);

}  // namespace
}  // namespace graft
