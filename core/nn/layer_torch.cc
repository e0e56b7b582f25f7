#include "core/nn/layer_torch.h"

namespace graft {

torch::Tensor TokensOf(const torch::Tensor& x) { return x.permute({0, 2, 3, 1}).squeeze(1); }

torch::Tensor FromTokens(const torch::Tensor& tokens) { return tokens.unsqueeze(1).permute({0, 3, 1, 2}); }

Padded Pad(const torch::Tensor& x, const Window& window, double value) {
  const int64_t top = window.PadBefore(x.size(2));
  const int64_t bottom = window.PadAfter(x.size(2));
  const int64_t left = window.PadBefore(x.size(3));
  const int64_t right = window.PadAfter(x.size(3));
  if (top == bottom && left == right && top == left) {
    return {x, top};
  }
  return {torch::constant_pad_nd(x, {left, right, top, bottom}, value), 0};
}

}  // namespace graft
