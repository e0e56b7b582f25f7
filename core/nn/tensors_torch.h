// LibTorch's tensors and those of files. Only core's own .cc files include this.
#ifndef GRAFT_CORE_NN_TENSORS_TORCH_H_
#define GRAFT_CORE_NN_TENSORS_TORCH_H_

#include <torch/types.h>

#include <string>
#include <vector>

#include "core/base/safetensors.h"

namespace graft {

struct NamedTensor {
  std::string name;
  torch::Tensor tensor;
};

// The view's bytes as a tensor on the CPU, which must be read only and not outlive them.
torch::Tensor TensorOf(const TensorView& view);

// What a file is to hold; the tensors, on the CPU, contiguous and without gradients, must outlive the result.
std::vector<TensorView> ViewsOf(const std::vector<NamedTensor>& tensors);

}  // namespace graft

#endif  // GRAFT_CORE_NN_TENSORS_TORCH_H_
