#include "core/nn/onednn_torch.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>

namespace graft {
namespace {

constexpr size_t kShapes = 4;  // of inputs, that a layer keeps its weights in oneDNN's order for

auto& PointwiseConvolution() {
  using Fn = torch::Tensor(const torch::Tensor&, const torch::Tensor&, const std::optional<torch::Tensor>&,
                           at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view,
                           c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_convolution_pointwise", "").typed<Fn>();
  return op;
}

auto& ReorderConvolutionWeight() {
  using Fn = torch::Tensor(const torch::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                           c10::OptionalArrayRef<int64_t>);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_convolution_weight", "").typed<Fn>();
  return op;
}

}  // namespace

torch::Tensor OneDnnConvolution::Run(const torch::Tensor& x, int64_t padding, const torch::Tensor& weight,
                                     const torch::Tensor& bias) const {
  const int64_t paddings[] = {padding, padding};
  const int64_t strides[] = {stride_, stride_};
  torch::Tensor filter;
  {
    const MutexLock lock(&mutex_);
    const auto known = std::find_if(filters_.begin(), filters_.end(), [&](const Filter& entry) {
      return entry.input == x.sizes() && entry.padding == padding;
    });
    if (known != filters_.end()) {
      filter = known->weight;
    } else {
      filter = ReorderConvolutionWeight().call(weight.detach(), paddings, strides, {1, 1}, groups_, x.sizes());
      if (filters_.size() == kShapes) {
        filters_.erase(filters_.begin());
      }
      filters_.push_back({x.sizes().vec(), padding, filter});
    }
  }
  c10::List<std::optional<at::Scalar>> limits;
  std::string_view activation = "none";
  if (activation_ == Activation::kRelu) {
    activation = "relu";
  } else if (activation_ == Activation::kRelu6) {
    activation = "hardtanh";
    limits.push_back(at::Scalar(0.0));
    limits.push_back(at::Scalar(6.0));
  }
  return PointwiseConvolution().call(x, filter, bias, paddings, strides, {1, 1}, groups_, activation, limits, "");
}

void OneDnnConvolution::Forget() const {
  const MutexLock lock(&mutex_);
  filters_.clear();
}

}  // namespace graft
