#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/autograd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <utility>

#include "core/base/mutex.h"
#include "core/kernels/conv3x3.h"
#include "core/nn/algorithm_choice.h"
#include "core/nn/layer_torch.h"
#include "core/nn/onednn_torch.h"
#include "core/nn/runtime.h"

namespace graft {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

kernels::FilterView View(const torch::Tensor& weight) {
  return {weight.data_ptr<float>(), weight.stride(0), weight.stride(2), weight.stride(3), weight.stride(1)};
}

kernels::ConvShape ShapeOf(const torch::Tensor& x, int64_t outputs, int64_t padding) {
  return {x.size(0), x.size(2), x.size(3), x.size(1), outputs, padding};
}

torch::Tensor Empty(int64_t batch, int64_t channels, int64_t height, int64_t width) {
  return torch::empty({batch, channels, height, width}, torch::TensorOptions().memory_format(kChannelsLast));
}

torch::Tensor Pack(int64_t inputs, int64_t outputs, const kernels::FilterView& filter) {
  const kernels::Isa isa = kernels::BestIsa();
  torch::Tensor packed = torch::empty({kernels::FilterFloats(isa, inputs, outputs)});
  kernels::PackFilter(isa, inputs, outputs, filter, packed.data_ptr<float>());
  return packed;
}

torch::Tensor Workspace(const kernels::ConvShape& shape) {
  return torch::empty({kernels::WorkspaceFloats(kernels::BestIsa(), shape, at::get_num_threads())});
}

torch::Tensor RunForward(const torch::Tensor& x, const kernels::ConvShape& shape, const torch::Tensor& packed,
                         const kernels::FilterView& filter, const kernels::Epilogue& epilogue) {
  const int64_t step = epilogue.pool ? 2 : 1;
  torch::Tensor y = Empty(shape.batch, shape.out_channels, shape.out_height() / step, shape.out_width() / step);
  const torch::Tensor workspace = Workspace(shape);
  kernels::Forward(kernels::BestIsa(), shape, x.data_ptr<float>(), packed.data_ptr<float>(), filter, epilogue,
                   at::get_num_threads(), workspace.data_ptr<float>(), y.data_ptr<float>());
  return y;
}

torch::Tensor MaxPool(const torch::Tensor& x) {
  if (kernels::BestIsa() == kernels::Isa::kNone) {
    return torch::max_pool2d(x, 2);
  }
  torch::Tensor y = Empty(x.size(0), x.size(1), x.size(2) / 2, x.size(3) / 2);
  kernels::MaxPool(kernels::BestIsa(), x.size(0), x.size(2), x.size(3), x.size(1), x.data_ptr<float>(),
                   at::get_num_threads(), y.data_ptr<float>());
  return y;
}

// Convolution, bias, ReLU and pool as one step of the graph: in between only what backward needs is kept.
struct ConvolutionFunction : torch::autograd::Function<ConvolutionFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& weight,
                               const torch::Tensor& bias, int64_t padding, bool pool) {
    const kernels::ConvShape shape = ShapeOf(x, weight.size(0), padding);
    const kernels::FilterView filter = View(weight);
    const torch::Tensor y = RunForward(x, shape, Pack(shape.in_channels, shape.out_channels, filter), filter,
                                       {bias.data_ptr<float>(), true, false});
    context->saved_data["padding"] = padding;
    context->saved_data["pool"] = pool;
    context->saved_data["input_gradient"] = x.requires_grad();
    context->save_for_backward({x, weight, y});
    return pool ? MaxPool(y) : y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const torch::Tensor& x = saved[0];
    const torch::Tensor& weight = saved[1];
    const torch::Tensor& y = saved[2];
    const kernels::ConvShape shape = ShapeOf(x, weight.size(0), context->saved_data["padding"].toInt());
    const kernels::Isa isa = kernels::BestIsa();
    const int threads = at::get_num_threads();

    const torch::Tensor gradient = gradients[0].contiguous(kChannelsLast);
    torch::Tensor y_gradient = torch::empty_like(y);
    torch::Tensor bias_gradient = torch::empty({shape.out_channels});
    const torch::Tensor sums = torch::empty({threads, shape.out_channels});
    kernels::ReluPoolBackward(isa, shape.batch, shape.out_height(), shape.out_width(), shape.out_channels,
                              y.data_ptr<float>(), gradient.data_ptr<float>(), context->saved_data["pool"].toBool(),
                              threads, sums.data_ptr<float>(), y_gradient.data_ptr<float>(),
                              bias_gradient.data_ptr<float>());

    torch::Tensor weight_gradient = torch::empty_like(weight, kChannelsLast);
    {
      const torch::Tensor workspace = Workspace(shape);
      kernels::BackwardFilter(isa, shape, x.data_ptr<float>(), y_gradient.data_ptr<float>(), threads,
                              workspace.data_ptr<float>(), weight_gradient.data_ptr<float>());
    }
    torch::Tensor x_gradient;
    if (context->saved_data["input_gradient"].toBool()) {
      const kernels::FilterView filter = View(weight).Transposed();
      x_gradient = RunForward(y_gradient, kernels::BackwardDataShape(shape),
                              Pack(shape.out_channels, shape.in_channels, filter), filter, {});
    }
    return {x_gradient, weight_gradient, bias_gradient, torch::Tensor(), torch::Tensor()};
  }
};

// A convolution, its bias, its activation, and the 2x2 max-pool that may follow.
//
// Our own kernels, Winograd's, are for 3x3 windows with stride 1 and ReLU on the CPU; the rest is LibTorch's. Without
// gradients, each layer finds out by a timing at its first image of a size from which batch on our kernels are the
// faster ones there, and keeps what was made of its weights for that: four times their memory. With gradients, our
// kernels are taken wherever there are some, so that a seed gives the same model again. SetConvolutionAlgorithm() pins
// either.
class Conv2DLayer : public Layer {
 public:
  // weight: outputs x inputs x size x size in channels_last memory.
  Conv2DLayer(const Conv2D& spec, torch::Tensor weight, torch::Tensor bias)
      : window_(spec.window),
        relu_(spec.activation == Activation::kRelu),
        weight_(std::move(weight)),
        bias_(std::move(bias)),
        onednn_(spec.window.stride, 1, spec.activation) {}

  bool Fuse(const LayerSpec& next) override {
    const auto* const pool = std::get_if<MaxPool2D>(&next.layer);
    if (pool_ || pool == nullptr || pool->window != Window{2, 2, 0, 0}) {
      return false;
    }
    pool_ = true;
    return true;
  }

  torch::Tensor Forward(const torch::Tensor& input, const Pass& pass) const override {
    const auto [padded, padding] = Pad(input, window_, 0);
    const bool pool = pool_ && !pass.inspecting;
    const torch::Tensor weight = pass.inspecting ? weight_.detach() : weight_;
    const torch::Tensor bias = pass.inspecting ? bias_.detach() : bias_;
    if (!padded.is_cpu() || padded.scalar_type() != torch::kFloat || at::autocast::is_autocast_enabled(at::kCPU)) {
      return InTorch(padded, weight, bias, padding, pool);
    }
    const ConvolutionAlgorithm algorithm = CurrentConvolutionAlgorithm();
    const bool own = algorithm != ConvolutionAlgorithm::kOneDnn && OwnKernelsFit(padding);
    const torch::Tensor x = padded.contiguous(kChannelsLast);
    if (at::GradMode::is_enabled() && (weight.requires_grad() || bias.requires_grad() || x.requires_grad())) {
      if (!pass.inspecting) {
        const MutexLock lock(&mutex_);  // the weights may be about to change
        own_filter_.reset();
        onednn_.Forget();
      }
      return own ? ConvolutionFunction::apply(x, weight, bias, padding, pool) : InTorch(x, weight, bias, padding, pool);
    }
    const bool take_own = own && (algorithm == ConvolutionAlgorithm::kWinograd || x.size(0) >= OwnFrom(x, padding));
    const absl::ReaderMutexLock running(&TimingGate());
    return take_own ? Own(x, padding, pool) : OneDnn(x, padding, pool);
  }

 private:
  bool OwnKernelsFit(int64_t padding) const {
    return kernels::BestIsa() != kernels::Isa::kNone && window_.size == 3 && window_.stride == 1 && padding <= 2 &&
           relu_;
  }

  // LibTorch's plain operators: on GPUs, in bfloat16, and where there is nothing better.
  torch::Tensor InTorch(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, int64_t padding,
                        bool pool) const {
    torch::Tensor y = torch::conv2d(x, weight, bias, window_.stride, padding);
    y = relu_ ? y.relu_() : y;
    return pool ? torch::max_pool2d(y, 2) : y;
  }

  torch::Tensor Own(const torch::Tensor& x, int64_t padding, bool pool) const {
    const kernels::ConvShape shape = ShapeOf(x, weight_.size(0), padding);
    torch::Tensor filter;
    {
      const MutexLock lock(&mutex_);
      if (!own_filter_.defined()) {
        own_filter_ = Pack(shape.in_channels, shape.out_channels, View(weight_));
      }
      filter = own_filter_;
    }
    return RunForward(x, shape, filter, View(weight_), {bias_.data_ptr<float>(), true, pool});
  }

  torch::Tensor OneDnn(const torch::Tensor& x, int64_t padding, bool pool) const {
    if (!at::hasMKLDNN()) {
      return InTorch(x, weight_, bias_, padding, pool);
    }
    const torch::Tensor y = onednn_.Run(x, padding, weight_, bias_);
    return pool ? MaxPool(y) : y;
  }

  // The smallest batch that our kernels are taken for, with images of x's size.
  int64_t OwnFrom(const torch::Tensor& x, int64_t padding) const {
    const std::pair<int64_t, int64_t> size(x.size(2), x.size(3));
    const auto known = [&]() -> std::optional<int64_t> {
      const MutexLock lock(&mutex_);
      const auto found = own_from_batch_.find(size);
      return found == own_from_batch_.end() ? std::nullopt : std::optional(found->second);
    };
    if (const auto from = known(); from.has_value()) {
      return *from;
    }
    const MutexLock choosing(&choosing_);
    if (const auto from = known(); from.has_value()) {  // another thread's, which timed while this one waited
      return *from;
    }
    const int64_t from = OwnFromBatch([&](int64_t batch, bool own) {
      const torch::Tensor zeros = Empty(batch, x.size(1), x.size(2), x.size(3)).zero_();
      const absl::WriterMutexLock alone(&TimingGate());
      const auto start = std::chrono::steady_clock::now();
      own ? Own(zeros, padding, pool_) : OneDnn(zeros, padding, pool_);
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    });
    const MutexLock lock(&mutex_);
    onednn_.Forget();
    if (from > kLargestTried) {
      own_filter_.reset();
    }
    own_from_batch_[size] = from;
    return from;
  }

  const Window window_;
  const bool relu_;
  const torch::Tensor weight_;
  const torch::Tensor bias_;
  const OneDnnConvolution onednn_;
  bool pool_ = false;  // constant once the network is built

  mutable Mutex choosing_ ABSL_ACQUIRED_BEFORE(mutex_);  // held while a choice is made, so that it is made once
  mutable Mutex mutex_;
  // Made of the weights when first needed; dropped when they are trained.
  mutable torch::Tensor own_filter_ ABSL_GUARDED_BY(mutex_);
  // By height and width.
  mutable std::map<std::pair<int64_t, int64_t>, int64_t> own_from_batch_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const Conv2D& spec, absl::Span<const torch::Tensor> parameters) {
  return std::make_unique<Conv2DLayer>(spec, parameters[0], parameters[1]);
}

}  // namespace graft
