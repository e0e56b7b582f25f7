#include "core/nn/normed_convolution_torch.h"

#include <ATen/autocast_mode.h>

#include <utility>

namespace graft {

NormedConvolution::NormedConvolution(const Window& window, Activation activation, double epsilon,
                                     absl::Span<const torch::Tensor> tensors)
    : window_(window),
      activation_(activation),
      epsilon_(epsilon),
      weight_(tensors[0]),
      scale_(tensors[1]),
      shift_(tensors[2]),
      mean_(tensors[3]),
      variance_(tensors[4]),
      groups_(tensors[0].size(1) == 1 ? tensors[0].size(0) : 1),
      onednn_(window.stride, groups_, activation) {}

bool NormedConvolution::Trains(const torch::Tensor& x) const {
  return at::GradMode::is_enabled() && (weight_.requires_grad() || scale_.requires_grad() || x.requires_grad());
}

torch::Tensor NormedConvolution::Activate(torch::Tensor y) const {
  switch (activation_) {
    case Activation::kNone:
      return y;
    case Activation::kRelu:
      return y.relu();
    case Activation::kRelu6:
      return y.clamp(0, 6);
  }
  return y;
}

torch::Tensor NormedConvolution::Convolve(const torch::Tensor& x, const torch::Tensor& weight) const {
  const auto [padded, padding] = Pad(x, window_, 0);
  return torch::conv2d(padded, weight, {}, window_.stride, padding, 1, groups_);
}

torch::Tensor NormedConvolution::Forward(const torch::Tensor& x, const Pass& pass) const {
  const bool trains = Trains(x);
  if (trains && !pass.inspecting) {
    const MutexLock lock(&mutex_);
    folded_.reset();
    onednn_.Forget();
  }
  if (trains || !x.is_cpu() || x.scalar_type() != torch::kFloat || !at::hasMKLDNN() ||
      at::autocast::is_autocast_enabled(at::kCPU)) {
    const auto of = [&](const torch::Tensor& tensor) { return pass.inspecting ? tensor.detach() : tensor; };
    // Statistics of the batch, and running ones that move, only where the layer trains.
    const bool moves = pass.training && weight_.requires_grad() && pass.norm_momentum > 0;
    return Activate(torch::batch_norm(Convolve(x, of(weight_)), of(scale_), of(shift_), mean_, variance_, moves,
                                      pass.norm_momentum, epsilon_, /*cudnn_enabled=*/true));
  }
  const Folded folded = Fold();
  const auto [padded, padding] = Pad(x.contiguous(at::MemoryFormat::ChannelsLast), window_, 0);
  return onednn_.Run(padded, padding, folded.weight, folded.bias);
}

NormedConvolution::Folded NormedConvolution::Fold() const {
  const MutexLock lock(&mutex_);
  if (!folded_.has_value()) {
    const torch::NoGradGuard no_grad;
    // In double: what is folded once is rounded once.
    const torch::Tensor factor = scale_.to(torch::kDouble) / (variance_.to(torch::kDouble) + epsilon_).sqrt();
    folded_ = {(weight_.to(torch::kDouble) * factor.view({-1, 1, 1, 1}))
                   .to(torch::kFloat)
                   .contiguous(at::MemoryFormat::ChannelsLast),
               (shift_.to(torch::kDouble) - mean_.to(torch::kDouble) * factor).to(torch::kFloat)};
  }
  return *folded_;
}

}  // namespace graft
