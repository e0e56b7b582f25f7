#include "core/nn/internal/convolution_torch.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/kernels/conv3x3.h"
#include "core/nn/runtime.h"

namespace graft {
namespace {

std::atomic<ConvolutionAlgorithm> g_algorithm{ConvolutionAlgorithm::kAuto};

}  // namespace

void SetConvolutionAlgorithm(ConvolutionAlgorithm algorithm) { g_algorithm = algorithm; }

absl::Status SetConvolutionAlgorithm(absl::string_view name) {
  for (const auto& [known, algorithm] : {std::pair{"auto", ConvolutionAlgorithm::kAuto},
                                         {"winograd", ConvolutionAlgorithm::kWinograd},
                                         {"onednn", ConvolutionAlgorithm::kOneDnn}}) {
    if (name == known) {
      SetConvolutionAlgorithm(algorithm);
      return absl::OkStatus();
    }
  }
  return InvalidField("convolution", absl::StrCat("'", name, "' is unknown; use auto, winograd or onednn"));
}

}  // namespace graft

namespace graft::internal {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;
constexpr size_t kOneDnnShapes = 4;  // of inputs, that a layer keeps its weights in oneDNN's order for

kernels::FilterView View(const torch::Tensor& weight) {
  return {weight.data_ptr<float>(), weight.stride(0), weight.stride(2), weight.stride(3), weight.stride(1)};
}

kernels::ConvShape Shape(const torch::Tensor& x, int64_t outputs, int64_t padding) {
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
    const kernels::ConvShape shape = Shape(x, weight.size(0), padding);
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
    const kernels::ConvShape shape = Shape(x, weight.size(0), context->saved_data["padding"].toInt());
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

double BestSeconds(const std::function<void()>& call) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// oneDNN's convolution with what follows it fused and its weights in an order of its own, which LibTorch has for its
// compiler's sake and doesn't declare in a header.
auto& PointwiseConvolution() {
  using Fn = torch::Tensor(const torch::Tensor&, const torch::Tensor&, const std::optional<torch::Tensor>&,
                           at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view,
                           c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_convolution_pointwise", "").typed<Fn>();
  return op;
}

auto& ReorderConvolutionWeight() {
  using Fn = torch::Tensor(const torch::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                           c10::OptionalArrayRef<int64_t>);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_convolution_weight", "").typed<Fn>();
  return op;
}

}  // namespace

Convolution::Convolution(torch::Tensor weight, torch::Tensor bias, int64_t padding, bool pool)
    : weight_(std::move(weight)), bias_(std::move(bias)), padding_(padding), pool_(pool) {}

torch::Tensor Convolution::Forward(const torch::Tensor& input) {
  const bool own = kernels::BestIsa() != kernels::Isa::kNone && g_algorithm != ConvolutionAlgorithm::kOneDnn;
  if (!input.is_cpu() || input.scalar_type() != torch::kFloat || at::autocast::is_autocast_enabled(at::kCPU)) {
    return InTorch(input);
  }
  const torch::Tensor x = input.contiguous(kChannelsLast);
  if (torch::GradMode::is_enabled() && (weight_.requires_grad() || bias_.requires_grad() || x.requires_grad())) {
    {
      const std::lock_guard lock(mutex_);  // the weights may be about to change
      own_filter_.reset();
      onednn_filters_.clear();
    }
    if (own) {
      return ConvolutionFunction::apply(x, weight_, bias_, padding_, pool_);
    }
    return InTorch(x);
  }
  if (own && (g_algorithm == ConvolutionAlgorithm::kWinograd || x.size(0) >= OwnFromBatch(x))) {
    return Own(x);
  }
  return OneDnn(x);
}

torch::Tensor Convolution::InTorch(const torch::Tensor& x) {
  const torch::Tensor y = torch::conv2d(x, weight_, bias_, 1, padding_).relu_();
  return pool_ ? torch::max_pool2d(y, 2) : y;
}

torch::Tensor Convolution::Own(const torch::Tensor& x) {
  const kernels::ConvShape shape = Shape(x, weight_.size(0), padding_);
  torch::Tensor filter;
  {
    const std::lock_guard lock(mutex_);
    if (!own_filter_.defined()) {
      own_filter_ = Pack(shape.in_channels, shape.out_channels, View(weight_));
    }
    filter = own_filter_;
  }
  return RunForward(x, shape, filter, View(weight_), {bias_.data_ptr<float>(), true, pool_});
}

torch::Tensor Convolution::OneDnn(const torch::Tensor& x) {
  if (!at::hasMKLDNN()) {
    return InTorch(x);
  }
  torch::Tensor filter;
  const int64_t paddings[] = {padding_, padding_};
  {
    const std::lock_guard lock(mutex_);
    // With weights in the order for another shape, oneDNN would reorder them in every call.
    const auto known = std::find_if(onednn_filters_.begin(), onednn_filters_.end(),
                                    [&](const auto& entry) { return entry.first == x.sizes(); });
    if (known != onednn_filters_.end()) {
      filter = known->second;
    } else {
      filter = ReorderConvolutionWeight().call(weight_.detach(), paddings, {1, 1}, {1, 1}, 1, x.sizes());
      if (onednn_filters_.size() == kOneDnnShapes) {
        onednn_filters_.erase(onednn_filters_.begin());
      }
      onednn_filters_.emplace_back(x.sizes().vec(), filter);
    }
  }
  const torch::Tensor y = PointwiseConvolution().call(x, filter, bias_, paddings, {1, 1}, {1, 1}, 1, "relu",
                                                      c10::List<std::optional<at::Scalar>>(), "");
  return pool_ ? MaxPool(y) : y;
}

int64_t Convolution::OwnFromBatch(const torch::Tensor& x) {
  const std::pair<int64_t, int64_t> size(x.size(2), x.size(3));
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = own_from_batch_.find(size); known != own_from_batch_.end()) {
      return known->second;
    }
  }
  // A larger batch reuses the transformed filter more often, so what wins once wins from there on.
  constexpr int64_t kLargest = 64;
  int64_t batch = 1;
  for (; batch <= kLargest; batch *= 2) {
    const torch::Tensor zeros = Empty(batch, x.size(1), x.size(2), x.size(3)).zero_();
    Own(zeros);
    OneDnn(zeros);
    // oneDNN must be clearly ahead: it would take memory for another copy of the weights.
    if (BestSeconds([&] { Own(zeros); }) <= 1.1 * BestSeconds([&] { OneDnn(zeros); })) {
      break;
    }
  }
  const int64_t from = batch <= kLargest ? batch : std::numeric_limits<int64_t>::max();
  const std::lock_guard lock(mutex_);
  onednn_filters_.clear();
  if (from > kLargest) {
    own_filter_.reset();
  }
  own_from_batch_[size] = from;
  return from;
}

}  // namespace graft::internal
