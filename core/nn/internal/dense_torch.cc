#include "core/nn/internal/dense_torch.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <utility>

namespace graft::internal {
namespace {

// Like those in convolution_torch.cc: LibTorch has them for its compiler's sake.
auto& PointwiseLinear() {
  using Fn = torch::Tensor(const torch::Tensor&, const torch::Tensor&, const std::optional<torch::Tensor>&,
                           std::string_view, c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Fn>();
  return op;
}

auto& ReorderLinearWeight() {
  using Fn = torch::Tensor(const torch::Tensor&, std::optional<int64_t>);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_linear_weight", "").typed<Fn>();
  return op;
}

}  // namespace

Dense::Dense(torch::Tensor weight, torch::Tensor bias, bool relu)
    : weight_(std::move(weight)), bias_(std::move(bias)), relu_(relu) {}

torch::Tensor Dense::Forward(const torch::Tensor& x) {
  const bool trains =
      torch::GradMode::is_enabled() && (weight_.requires_grad() || bias_.requires_grad() || x.requires_grad());
  if (trains || x.size(0) < 2 || !x.is_cpu() || x.scalar_type() != torch::kFloat || !at::hasMKLDNN() ||
      at::autocast::is_autocast_enabled(at::kCPU)) {
    if (trains) {
      const std::lock_guard lock(mutex_);
      packed_.reset();
    }
    const torch::Tensor y = torch::linear(x, weight_, bias_);
    return relu_ ? y.relu() : y;
  }
  torch::Tensor packed;
  {
    const std::lock_guard lock(mutex_);
    if (!packed_.defined()) {
      constexpr int64_t kTypicalBatch = 8;
      packed_ = ReorderLinearWeight().call(weight_.detach(), kTypicalBatch);
    }
    packed = packed_;
  }
  return PointwiseLinear().call(x.contiguous(), packed, bias_, relu_ ? "relu" : "none",
                                c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace graft::internal
