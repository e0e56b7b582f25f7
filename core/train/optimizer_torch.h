// The optimizer of a training: our one-pass steps on the CPU, LibTorch's operators elsewhere. Only core's own .cc files
// include this.
#ifndef GRAFT_CORE_TRAIN_OPTIMIZER_TORCH_H_
#define GRAFT_CORE_TRAIN_OPTIMIZER_TORCH_H_

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "core/model/options.h"

namespace graft {

struct TrainedTensor {
  torch::Tensor tensor;
  double rate = 1;  // its learning rate, as a share of the step's
};

class Optimizer {
 public:
  // Changes one parameter by its gradient and its moments; `step` counts from 1.
  using Update = std::function<void(int64_t step, double learning_rate, const torch::Tensor& gradient,
                                    std::vector<torch::Tensor>& moments, torch::Tensor& weight)>;

  // `moments`: how many tensors of a parameter's shape the update keeps beside it; they start as zeros.
  Optimizer(std::vector<TrainedTensor> parameters, int moments, Update update);

  // Changes the parameters that have a gradient; frozen ones have none.
  void Step(double learning_rate);
  // Shortens all gradients together to this length, where they are longer; one that isn't finite stays so.
  void ClipGradients(double norm);

  // All that the next step depends on but the parameters: the steps so far, and the moments of each parameter, which
  // the caller may overwrite in place.
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  const std::vector<std::vector<torch::Tensor>>& moments() const { return moments_; }

 private:
  std::vector<TrainedTensor> parameters_;
  std::vector<std::vector<torch::Tensor>> moments_;
  const Update update_;
  int64_t steps_ = 0;
};

// All parameters are on the same device. Of the options: all but the learning rate, which each step has of its own.
Optimizer MakeOptimizer(const std::vector<TrainedTensor>& parameters, const TrainingOptions& options);
// The same formulas in LibTorch's operators, for any device.
Optimizer MakeOperatorOptimizer(const std::vector<TrainedTensor>& parameters, const TrainingOptions& options);

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_OPTIMIZER_TORCH_H_
