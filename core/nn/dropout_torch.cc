#include "core/nn/layer_torch.h"

namespace graft {
namespace {

// torch::dropout's own steps, with a generator of the caller's instead of the process's: whoever trains can then keep
// and bring back all that its steps depend on.
class DropoutLayer : public Layer {
 public:
  explicit DropoutLayer(double rate) : rate_(rate) {}

  torch::Tensor Forward(const torch::Tensor& x, const Pass& pass) const override {
    if (!pass.training || rate_ == 0) {
      return x;
    }
    return x * torch::empty_like(x).bernoulli_(1 - rate_, pass.generator).div_(1 - rate_);
  }

 private:
  const double rate_;
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const Dropout& spec, absl::Span<const torch::Tensor> /*parameters*/) {
  return std::make_unique<DropoutLayer>(spec.rate);
}

}  // namespace graft
