#include "core/nn/layer_torch.h"

namespace graft {
namespace {

class GlobalAveragePool2DLayer : public Layer {
 public:
  torch::Tensor Forward(const torch::Tensor& x, const Pass& /*pass*/) const override {
    return x.dim() == 4 ? x.mean({2, 3}) : x;
  }
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const GlobalAveragePool2D& /*spec*/, absl::Span<const torch::Tensor> /*parameters*/) {
  return std::make_unique<GlobalAveragePool2DLayer>();
}

}  // namespace graft
