#include "core/nn/layer_torch.h"

namespace graft {
namespace {

class FlattenLayer : public Layer {
 public:
  // Free of copies in channels_last memory.
  torch::Tensor Forward(const torch::Tensor& x, const Pass& /*pass*/) const override {
    return x.dim() == 4 ? x.permute({0, 2, 3, 1}).flatten(1) : x;
  }
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const Flatten& /*spec*/, absl::Span<const torch::Tensor> /*parameters*/) {
  return std::make_unique<FlattenLayer>();
}

}  // namespace graft
