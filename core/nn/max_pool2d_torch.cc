#include <limits>

#include "core/nn/layer_torch.h"

namespace graft {
namespace {

class MaxPool2DLayer : public Layer {
 public:
  explicit MaxPool2DLayer(const Window& window) : window_(window) {}

  torch::Tensor Forward(const torch::Tensor& x, const Pass& /*pass*/) const override {
    const auto [padded, padding] = Pad(x, window_, -std::numeric_limits<double>::infinity());
    return torch::max_pool2d(padded, window_.size, window_.stride, padding);
  }

 private:
  const Window window_;
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const MaxPool2D& spec, absl::Span<const torch::Tensor> /*parameters*/) {
  return std::make_unique<MaxPool2DLayer>(spec.window);
}

}  // namespace graft
