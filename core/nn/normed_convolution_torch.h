// A convolution without bias, the batch norm behind it, and an activation. Only core's own .cc files include this.
#ifndef GRAFT_CORE_NN_NORMED_CONVOLUTION_TORCH_H_
#define GRAFT_CORE_NN_NORMED_CONVOLUTION_TORCH_H_

#include <torch/types.h>

#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/types/span.h"
#include "core/base/mutex.h"
#include "core/model/layers.h"
#include "core/nn/layer_torch.h"
#include "core/nn/onednn_torch.h"

namespace graft {

// As Layer: thread-safe while nobody trains it.
class NormedConvolution {
 public:
  static constexpr size_t kTensors = 5;
  // Convolution and norm as one: y = conv(x, weight) + bias.
  struct Folded {
    torch::Tensor weight;
    torch::Tensor bias;
  };

  // `tensors`: the convolution's weight, then the norm's weight, bias, running mean and running variance. A weight with
  // one input channel and several outputs is for each channel by itself.
  NormedConvolution(const Window& window, Activation activation, double epsilon,
                    absl::Span<const torch::Tensor> tensors);

  torch::Tensor Forward(const torch::Tensor& x, const Pass& pass) const;
  // Whether gradients are wanted of its weights or of x.
  bool Trains(const torch::Tensor& x) const;
  // With the running statistics, in float32 and without gradients. Kept until a pass trains.
  Folded Fold() const;

 private:
  torch::Tensor Convolve(const torch::Tensor& x, const torch::Tensor& weight) const;
  torch::Tensor Activate(torch::Tensor y) const;

  const Window window_;
  const Activation activation_;
  const double epsilon_;
  const torch::Tensor weight_;
  const torch::Tensor scale_;
  const torch::Tensor shift_;
  const torch::Tensor mean_;
  const torch::Tensor variance_;
  const int64_t groups_;

  mutable Mutex mutex_;
  mutable std::optional<Folded> folded_ ABSL_GUARDED_BY(mutex_);
  const OneDnnConvolution onednn_;
};

}  // namespace graft

#endif  // GRAFT_CORE_NN_NORMED_CONVOLUTION_TORCH_H_
