// The convolutions of a network, and who computes them: our own kernels or oneDNN on the CPU, cuDNN on a GPU.
#ifndef GRAFT_CORE_NN_INTERNAL_CONVOLUTION_TORCH_H_
#define GRAFT_CORE_NN_INTERNAL_CONVOLUTION_TORCH_H_

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace graft::internal {

// A 3x3 convolution with stride 1, its bias and ReLU, and the 2x2 max-pool that may follow.
//
// Without gradients, each layer finds out by a short timing at its first image of a size from which batch on our
// kernels are the faster ones there, and keeps what was made of its weights for that: four times their memory. With
// gradients, our kernels are taken wherever there are some, so that a seed gives the same model again.
// SetConvolutionAlgorithm() pins either.
//
// Thread-safe while nobody trains it.
class Convolution {
 public:
  // weight: outputs x inputs x 3 x 3 in channels_last memory. Both are shared with the caller, who may train them.
  Convolution(torch::Tensor weight, torch::Tensor bias, int64_t padding, bool pool);

  // x: N x C x H x W floats in channels_last memory, and so the result.
  torch::Tensor Forward(const torch::Tensor& x);

 private:
  // LibTorch's plain operators: on GPUs, in bfloat16, and where there is nothing better.
  torch::Tensor InTorch(const torch::Tensor& x);
  torch::Tensor Own(const torch::Tensor& x);
  torch::Tensor OneDnn(const torch::Tensor& x);
  // The smallest batch that Own() is faster for, with images of x's size.
  int64_t OwnFromBatch(const torch::Tensor& x);

  torch::Tensor weight_;
  torch::Tensor bias_;
  int64_t padding_;
  bool pool_;

  std::mutex mutex_;
  // Guarded by mutex_. Made of the weights when first needed; dropped when they are trained.
  torch::Tensor own_filter_;
  std::vector<std::pair<std::vector<int64_t>, torch::Tensor>> onednn_filters_;  // by the input's shape; newest last
  std::map<std::pair<int64_t, int64_t>, int64_t> own_from_batch_;               // by height and width
};

}  // namespace graft::internal

#endif  // GRAFT_CORE_NN_INTERNAL_CONVOLUTION_TORCH_H_
