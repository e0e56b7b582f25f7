#include "core/nn/layer_torch.h"
#include "core/nn/normed_convolution_torch.h"

namespace graft {
namespace {

class ConvNorm2DLayer : public Layer {
 public:
  ConvNorm2DLayer(const ConvNorm2D& spec, absl::Span<const torch::Tensor> tensors)
      : convolution_(spec.window, spec.activation, spec.epsilon, tensors) {}

  torch::Tensor Forward(const torch::Tensor& x, const Pass& pass) const override {
    return convolution_.Forward(x, pass);
  }

 private:
  const NormedConvolution convolution_;
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const ConvNorm2D& spec, absl::Span<const torch::Tensor> parameters) {
  return std::make_unique<ConvNorm2DLayer>(spec, parameters);
}

}  // namespace graft
