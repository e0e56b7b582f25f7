// The optimizer of a training: our one-pass steps on the CPU, LibTorch's operators on a GPU.
#ifndef GRAFT_CORE_TRAIN_INTERNAL_OPTIMIZER_TORCH_H_
#define GRAFT_CORE_TRAIN_INTERNAL_OPTIMIZER_TORCH_H_

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "core/model/variants.h"

namespace graft::internal {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Changes the parameters by their gradients.
  virtual void Step() = 0;
};

// All parameters are on the same device.
std::unique_ptr<Optimizer> MakeOptimizer(const std::vector<torch::Tensor>& parameters, const TrainingOptions& options);

}  // namespace graft::internal

#endif  // GRAFT_CORE_TRAIN_INTERNAL_OPTIMIZER_TORCH_H_
