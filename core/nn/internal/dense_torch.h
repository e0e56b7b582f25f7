// The dense layers of a network, and who computes them.
#ifndef GRAFT_CORE_NN_INTERNAL_DENSE_TORCH_H_
#define GRAFT_CORE_NN_INTERNAL_DENSE_TORCH_H_

#include <torch/torch.h>

#include <mutex>

namespace graft::internal {

// A dense layer, with or without ReLU. Batches of two and more go to oneDNN on the CPU, with the weights in its own
// order: a quarter to four fifths of the time of LibTorch's own way, which is MKL. That order costs another copy of the
// weights, so training, where they change with each step, stays with MKL, and so does a single row, which is no slower
// there.
//
// Thread-safe while nobody trains it.
class Dense {
 public:
  // weight: outputs x inputs. Both are shared with the caller, who may train them.
  Dense(torch::Tensor weight, torch::Tensor bias, bool relu);

  // x: N x inputs.
  torch::Tensor Forward(const torch::Tensor& x);

 private:
  torch::Tensor weight_;
  torch::Tensor bias_;
  bool relu_;

  std::mutex mutex_;
  torch::Tensor packed_;  // guarded by mutex_; made when first needed, dropped when the weights are trained
};

}  // namespace graft::internal

#endif  // GRAFT_CORE_NN_INTERNAL_DENSE_TORCH_H_
