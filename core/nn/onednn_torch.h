// oneDNN's operators with what follows them fused and weights in an order of their own, which LibTorch has for its
// compiler's sake and doesn't declare in a header. Only core's own .cc files include this.
#ifndef GRAFT_CORE_NN_ONEDNN_TORCH_H_
#define GRAFT_CORE_NN_ONEDNN_TORCH_H_

#include <torch/types.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"
#include "core/model/layers.h"

namespace graft {

// A convolution with its bias and activation, without gradients, on the CPU in float32. Thread-safe.
class OneDnnConvolution {
 public:
  // groups: 1, or as many as there are channels.
  OneDnnConvolution(int64_t stride, int64_t groups, Activation activation)
      : stride_(stride), groups_(groups), activation_(activation) {}

  // `padding`: zeros on each side. `weight` and `bias` must be the same in each call until Forget. Keeps the weight in
  // oneDNN's order for the last few shapes of `x`, since it would reorder them in each call.
  torch::Tensor Run(const torch::Tensor& x, int64_t padding, const torch::Tensor& weight,
                    const torch::Tensor& bias) const;
  void Forget() const;

 private:
  struct Filter {
    std::vector<int64_t> input;  // its sizes
    int64_t padding;
    torch::Tensor weight;
  };

  const int64_t stride_;
  const int64_t groups_;
  const Activation activation_;

  mutable Mutex mutex_;
  mutable std::vector<Filter> filters_ ABSL_GUARDED_BY(mutex_);  // newest last
};

}  // namespace graft

#endif  // GRAFT_CORE_NN_ONEDNN_TORCH_H_
