#include "core/nn/layer_torch.h"

namespace graft {
namespace {

class ClassAndMeanLayer : public Layer {
 public:
  torch::Tensor Forward(const torch::Tensor& x, const Pass& /*pass*/) const override {
    const torch::Tensor tokens = TokensOf(x);
    const torch::Tensor class_token = tokens.slice(1, 0, 1);
    return FromTokens(torch::cat({class_token, tokens.slice(1, 1).mean(1, /*keepdim=*/true)}, 2));
  }
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const ClassAndMean& /*spec*/, absl::Span<const torch::Tensor> /*parameters*/) {
  return std::make_unique<ClassAndMeanLayer>();
}

}  // namespace graft
