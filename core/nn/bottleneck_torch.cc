#include <optional>

#include "core/nn/layer_torch.h"
#include "core/nn/normed_convolution_torch.h"

namespace graft {
namespace {

class BottleneckLayer : public Layer {
 public:
  BottleneckLayer(const Bottleneck& spec, absl::Span<const torch::Tensor> tensors)
      : narrow_(Window(), Activation::kRelu, spec.epsilon, Of(tensors, 0)),
        middle_(spec.Middle(), Activation::kRelu, spec.epsilon, Of(tensors, 1)),
        wide_(Window(), Activation::kNone, spec.epsilon, Of(tensors, 2)) {
    if (tensors.size() > 3 * NormedConvolution::kTensors) {
      project_.emplace(Window{1, spec.stride}, Activation::kNone, spec.epsilon, Of(tensors, 3));
    }
  }

  torch::Tensor Forward(const torch::Tensor& x, const Pass& pass) const override {
    const torch::Tensor sum = wide_.Forward(middle_.Forward(narrow_.Forward(x, pass), pass), pass) +
                              (project_.has_value() ? project_->Forward(x, pass) : x);
    return sum.relu();
  }

 private:
  static absl::Span<const torch::Tensor> Of(absl::Span<const torch::Tensor> tensors, size_t i) {
    return tensors.subspan(i * NormedConvolution::kTensors, NormedConvolution::kTensors);
  }

  const NormedConvolution narrow_;
  const NormedConvolution middle_;
  const NormedConvolution wide_;
  std::optional<NormedConvolution> project_;
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const Bottleneck& spec, absl::Span<const torch::Tensor> parameters) {
  return std::make_unique<BottleneckLayer>(spec, parameters);
}

}  // namespace graft
