#include "core/nn/layer_torch.h"

namespace graft {
namespace {

class LayerNormLayer : public Layer {
 public:
  LayerNormLayer(double epsilon, torch::Tensor weight, torch::Tensor bias)
      : epsilon_(epsilon), weight_(std::move(weight)), bias_(std::move(bias)) {}

  torch::Tensor Forward(const torch::Tensor& x, const Pass& pass) const override {
    const torch::Tensor weight = pass.inspecting ? weight_.detach() : weight_;
    const torch::Tensor bias = pass.inspecting ? bias_.detach() : bias_;
    return FromTokens(torch::layer_norm(TokensOf(x), weight.sizes(), weight, bias, epsilon_));
  }

 private:
  const double epsilon_;
  const torch::Tensor weight_;
  const torch::Tensor bias_;
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const LayerNorm& spec, absl::Span<const torch::Tensor> parameters) {
  return std::make_unique<LayerNormLayer>(spec.epsilon, parameters[0], parameters[1]);
}

}  // namespace graft
