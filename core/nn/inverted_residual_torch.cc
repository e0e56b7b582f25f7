#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>

#include <optional>
#include <vector>

#include "core/base/mutex.h"
#include "core/kernels/inverted_residual.h"
#include "core/nn/layer_torch.h"
#include "core/nn/normed_convolution_torch.h"
#include "core/nn/runtime.h"

namespace graft {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// Without gradients our own kernel runs all of it at once, on the CPU in float32; else one convolution after the other.
class InvertedResidualLayer : public Layer {
 public:
  InvertedResidualLayer(const InvertedResidual& spec, absl::Span<const torch::Tensor> tensors) : spec_(spec) {
    const auto add = [&](const Window& window, Activation activation) {
      const auto own = tensors.subspan(stages_.size() * NormedConvolution::kTensors, NormedConvolution::kTensors);
      stages_.push_back(std::make_unique<const NormedConvolution>(window, activation, spec.epsilon, own));
    };
    if (spec.expansion > 1) {
      add(Window(), Activation::kRelu6);
    }
    add(spec.window, Activation::kRelu6);
    add(Window(), Activation::kNone);
  }

  torch::Tensor Forward(const torch::Tensor& x, const Pass& pass) const override {
    const bool trains = stages_.front()->Trains(x) || stages_.back()->Trains(x);
    if (trains && !pass.inspecting) {
      const MutexLock lock(&mutex_);
      packed_.reset();
    }
    if (!trains && kernels::BestIsa() != kernels::Isa::kNone && x.is_cpu() && x.scalar_type() == torch::kFloat &&
        !at::autocast::is_autocast_enabled(at::kCPU) &&
        CurrentConvolutionAlgorithm() != ConvolutionAlgorithm::kOneDnn) {
      return Own(x.contiguous(kChannelsLast));
    }
    torch::Tensor y = x;
    for (const auto& stage : stages_) {
      y = stage->Forward(y, pass);
    }
    return spec_.AddsInput({x.size(2), x.size(3), x.size(1)}) ? y + x : y;
  }

 private:
  torch::Tensor Own(const torch::Tensor& x) const {
    kernels::InvertedResidualShape shape;
    shape.batch = x.size(0);
    shape.height = x.size(2);
    shape.width = x.size(3);
    shape.out_height = spec_.window.Outputs(shape.height);
    shape.out_width = spec_.window.Outputs(shape.width);
    shape.in_channels = x.size(1);
    shape.hidden_channels = shape.in_channels * spec_.expansion;
    shape.out_channels = spec_.filters;
    shape.window = spec_.window.size;
    shape.stride = spec_.window.stride;
    shape.pad_before = spec_.window.PadBefore(shape.height);
    shape.expands = spec_.expansion > 1;
    shape.adds = spec_.AddsInput({shape.height, shape.width, shape.in_channels});
    const kernels::Isa isa = kernels::BestIsa();
    const torch::Tensor packed = Packed(isa, shape);
    const int threads = at::get_num_threads();
    const torch::Tensor workspace = torch::empty({kernels::WorkspaceFloats(isa, shape, threads)});
    torch::Tensor y = torch::empty({shape.batch, shape.out_channels, shape.out_height, shape.out_width},
                                   torch::TensorOptions().memory_format(kChannelsLast));
    kernels::Forward(isa, shape, x.data_ptr<float>(), packed.data_ptr<float>(), threads, workspace.data_ptr<float>(),
                     y.data_ptr<float>());
    return y;
  }

  torch::Tensor Packed(kernels::Isa isa, const kernels::InvertedResidualShape& shape) const {
    const MutexLock lock(&mutex_);
    if (!packed_.defined()) {
      std::vector<NormedConvolution::Folded> folded;
      for (const auto& stage : stages_) {
        folded.push_back(stage->Fold());
        folded.back().weight = folded.back().weight.contiguous();
      }
      const auto floats = [](const torch::Tensor& tensor) { return tensor.const_data_ptr<float>(); };
      kernels::InvertedResidualWeights weights;
      const size_t middle = folded.size() - 2;
      if (shape.expands) {
        weights.expand = floats(folded[0].weight);
        weights.expand_bias = floats(folded[0].bias);
      }
      weights.depthwise = floats(folded[middle].weight);
      weights.depthwise_bias = floats(folded[middle].bias);
      weights.project = floats(folded[middle + 1].weight);
      weights.project_bias = floats(folded[middle + 1].bias);
      packed_ = torch::empty({kernels::PackedFloats(isa, shape)});
      kernels::Pack(isa, shape, weights, packed_.data_ptr<float>());
    }
    return packed_;
  }

  const InvertedResidual spec_;
  std::vector<std::unique_ptr<const NormedConvolution>> stages_;

  mutable Mutex mutex_;
  mutable torch::Tensor packed_ ABSL_GUARDED_BY(mutex_);  // made when first needed, dropped when the weights train
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const InvertedResidual& spec, absl::Span<const torch::Tensor> parameters) {
  return std::make_unique<InvertedResidualLayer>(spec, parameters);
}

}  // namespace graft
