// A layer at work. Only core's own .cc files include this.
#ifndef GRAFT_CORE_NN_LAYER_TORCH_H_
#define GRAFT_CORE_NN_LAYER_TORCH_H_

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/types/span.h"
#include "core/model/layers.h"

namespace graft {

// How a network runs this time.
struct Pass {
  bool training = false;    // dropout drops
  at::Generator generator;  // what it drops is drawn from; needed when training
  // Of batch norms that train: how much of a batch's mean and variance goes into the running ones; 0: these stand
  // still, and train as they are.
  double norm_momentum = 0.1;
  // Somebody looks in (core/nn/layer_tap.h): each layer does its own work and not that of the next one too, and
  // gradients are wanted of what comes in, not of weights, so that what layers keep of these stays.
  bool inspecting = false;
};

// Thread-safe while nobody trains it: Forward only reads, but for what it keeps of its weights to be quicker.
class Layer {
 public:
  virtual ~Layer() = default;

  // Images: N x C x H x W in channels_last memory, and so the result; rows: N x numbers.
  virtual torch::Tensor Forward(const torch::Tensor& x, const Pass& pass) const = 0;

  // Whether this layer does from now on what `next`, the one behind it, would do, unless somebody looks in.
  virtual bool Fuse(const LayerSpec& /*next*/) { return false; }
};

// One for each kind of layer, in its own file. `parameters` are those of LayerSpec::Parameters, in its order, and
// shared with the caller, who may train them.
std::unique_ptr<Layer> MakeLayer(const Conv2D& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const MaxPool2D& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const Flatten& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const GlobalAveragePool2D& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const Dense& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const Dropout& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const ConvNorm2D& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const InvertedResidual& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const Bottleneck& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const PatchEmbedding& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const TransformerBlock& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const LayerNorm& spec, absl::Span<const torch::Tensor> parameters);
std::unique_ptr<Layer> MakeLayer(const ClassAndMean& spec, absl::Span<const torch::Tensor> parameters);

// Between how images lie, N x C x 1 x tokens in channels_last memory, and rows of tokens, N x tokens x C; free of
// copies.
torch::Tensor TokensOf(const torch::Tensor& x);
torch::Tensor FromTokens(const torch::Tensor& tokens);

// LibTorch pads all sides alike. Where a window does: `x` as it is, and what LibTorch's operator is to pad with. Else
// `x` with its padding laid around it in `value`s, and 0.
struct Padded {
  torch::Tensor x;
  int64_t padding;
};
Padded Pad(const torch::Tensor& x, const Window& window, double value);

}  // namespace graft

#endif  // GRAFT_CORE_NN_LAYER_TORCH_H_
