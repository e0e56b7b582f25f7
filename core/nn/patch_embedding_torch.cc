#include <ATen/core/grad_mode.h>

#include <cmath>
#include <map>
#include <utility>

#include "core/base/mutex.h"
#include "core/nn/layer_torch.h"

namespace graft {
namespace {

class PatchEmbeddingLayer : public Layer {
 public:
  PatchEmbeddingLayer(const PatchEmbedding& spec, absl::Span<const torch::Tensor> parameters)
      : window_(Window::Same(spec.patch, spec.patch)),
        class_token_(parameters[0]),
        places_(parameters[1]),
        weight_(parameters[2]),
        bias_(parameters[3]) {}

  torch::Tensor Forward(const torch::Tensor& x, const Pass& /*pass*/) const override {
    const int64_t rows = window_.Outputs(x.size(2));
    const int64_t columns = window_.Outputs(x.size(3));
    const torch::Tensor padded = torch::constant_pad_nd(
        x, {0, columns * window_.size - x.size(3), 0, rows * window_.size - x.size(2)}, /*value=*/0);
    const torch::Tensor patches = torch::conv2d(padded, weight_, bias_, window_.stride);
    const torch::Tensor tokens =
        torch::cat({class_token_.expand({x.size(0), 1, -1}), patches.permute({0, 2, 3, 1}).flatten(1, 2)}, 1);
    return FromTokens(tokens + Places(rows, columns));
  }

 private:
  // 1 x tokens x channels.
  torch::Tensor Places(int64_t rows, int64_t columns) const {
    if (places_.requires_grad() && at::GradMode::is_enabled()) {
      return Resized(rows, columns);
    }
    const MutexLock lock(&mutex_);
    const auto found = resized_.find({rows, columns});
    if (found != resized_.end() && !places_.requires_grad()) {
      return found->second;
    }
    return resized_[{rows, columns}] = Resized(rows, columns);
  }

  // As timm does: PyTorch's bicubic filter, antialiased.
  torch::Tensor Resized(int64_t rows, int64_t columns) const {
    const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(places_.size(1) - 1))));
    if (rows == side && columns == side) {
      return places_;
    }
    const torch::Tensor grid =
        places_.slice(1, 1).reshape({1, side, side, places_.size(2)}).permute({0, 3, 1, 2}).contiguous();
    const torch::Tensor resized = at::_upsample_bicubic2d_aa(grid, {rows, columns}, /*align_corners=*/false);
    return torch::cat({places_.slice(1, 0, 1), resized.permute({0, 2, 3, 1}).flatten(1, 2)}, 1);
  }

  const Window window_;
  const torch::Tensor class_token_;  // 1 x 1 x channels
  const torch::Tensor places_;       // 1 x (1 + side^2) x channels, the class token's first
  const torch::Tensor weight_;
  const torch::Tensor bias_;

  mutable Mutex mutex_;
  // By rows and columns, of places that nothing trains.
  mutable std::map<std::pair<int64_t, int64_t>, torch::Tensor> resized_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const PatchEmbedding& spec, absl::Span<const torch::Tensor> parameters) {
  return std::make_unique<PatchEmbeddingLayer>(spec, parameters);
}

}  // namespace graft
