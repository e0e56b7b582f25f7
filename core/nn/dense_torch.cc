#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "core/base/mutex.h"
#include "core/nn/layer_torch.h"

namespace graft {
namespace {

// Like those in conv2d_torch.cc: LibTorch has them for its compiler's sake.
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

// Batches of two and more go to oneDNN on the CPU, with the weights in its own order: a quarter to four fifths of the
// time of LibTorch's own way, which is MKL. That order costs another copy of the weights, so training, where they
// change with each step, stays with MKL, and so does a single row, which is no slower there.
class DenseLayer : public Layer {
 public:
  DenseLayer(torch::Tensor weight, torch::Tensor bias, bool relu)
      : weight_(std::move(weight)), bias_(std::move(bias)), relu_(relu) {}

  torch::Tensor Forward(const torch::Tensor& x, const Pass& pass) const override {
    const torch::Tensor weight = pass.inspecting ? weight_.detach() : weight_;
    const torch::Tensor bias = pass.inspecting ? bias_.detach() : bias_;
    const bool trains =
        at::GradMode::is_enabled() && (weight.requires_grad() || bias.requires_grad() || x.requires_grad());
    if (trains || x.size(0) < 2 || !x.is_cpu() || x.scalar_type() != torch::kFloat || !at::hasMKLDNN() ||
        at::autocast::is_autocast_enabled(at::kCPU)) {
      if (trains && !pass.inspecting) {
        const MutexLock lock(&mutex_);
        packed_.reset();
      }
      const torch::Tensor y = torch::linear(x, weight, bias);
      return relu_ ? y.relu() : y;
    }
    torch::Tensor packed;
    {
      const MutexLock lock(&mutex_);
      if (!packed_.defined()) {
        constexpr int64_t kTypicalBatch = 8;
        packed_ = ReorderLinearWeight().call(weight_.detach(), kTypicalBatch);
      }
      packed = packed_;
    }
    return PointwiseLinear().call(x.contiguous(), packed, bias_, relu_ ? "relu" : "none",
                                  c10::List<std::optional<at::Scalar>>(), "");
  }

 private:
  const torch::Tensor weight_;  // outputs x inputs
  const torch::Tensor bias_;
  const bool relu_;

  mutable Mutex mutex_;
  mutable torch::Tensor packed_ ABSL_GUARDED_BY(mutex_);  // made when first needed, dropped when the weights train
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const Dense& spec, absl::Span<const torch::Tensor> parameters) {
  return std::make_unique<DenseLayer>(parameters[0], parameters[1], spec.activation == Activation::kRelu);
}

}  // namespace graft
