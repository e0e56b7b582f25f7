#include "core/nn/layer_torch.h"

namespace graft {

std::pair<torch::Tensor, int64_t> PadUnevenly(const torch::Tensor& x, const Window& window, double value) {
  if (window.pad_before == window.pad_after) {
    return {x, window.pad_before};
  }
  return {torch::constant_pad_nd(x, {window.pad_before, window.pad_after, window.pad_before, window.pad_after}, value),
          0};
}

}  // namespace graft
