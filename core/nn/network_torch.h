// A stack of layers, built from their specs. Only core's own .cc files include this.
#ifndef GRAFT_CORE_NN_NETWORK_TORCH_H_
#define GRAFT_CORE_NN_NETWORK_TORCH_H_

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/base/safetensors.h"
#include "core/model/layers.h"
#include "core/model/options.h"
#include "core/nn/layer_tap.h"
#include "core/nn/layer_torch.h"
#include "core/nn/tensors_torch.h"

namespace graft {

// Thread-safe while nobody trains it: Forward only reads.
class Network {
 public:
  // Its weights are undefined until Initialize or Load. Those of layers that aren't trainable take no gradient.
  Network(const std::vector<LayerSpec>& layers, const Shape& input, const torch::Device& device);

  // Glorot-uniform weights and zero biases, as Keras's, drawn from a generator of the CPU.
  void Initialize(at::Generator generator);

  // Input: N x C x H x W floats in channels_last memory, or N x numbers, which are taken for images as the
  // constructor's input says, if that is an image: in the order height, width, channels. Output, float32: logits, N x
  // outputs; without a dense layer, N x C x H x W in channels_last. With kBfloat16, convolutions and dense layers
  // compute in that, under LibTorch's autocast.
  torch::Tensor Forward(torch::Tensor x, const Pass& pass = {}, Precision precision = Precision::kFloat32) const;

  // The same in float32, one layer after the other, each with a look at what it makes. Where gradients are on and x
  // wants one, they are those of x; the weights get none.
  torch::Tensor Inspect(torch::Tensor x, const LayerTap& tap) const;

  // Names in files: "conv2d_1.weight" (OIHW), "dense_1.weight" (outputs x inputs), "dense_1.bias", unless a layer says
  // otherwise. DATA_LOSS: a tensor is missing or of another shape; FAILED_PRECONDITION: it isn't finite.
  absl::Status Load(const Safetensors& file);
  // Of another network's file: the tensors with the same name and shape. How many of these were more than biases, which
  // fit nearly everything. FAILED_PRECONDITION: one of them isn't finite.
  absl::StatusOr<int> LoadMatching(const Safetensors& file);
  // All weights, in the order of the layers; sealed.
  absl::Status Save(const std::filesystem::path& path) const;

  // The weights themselves, in the order of the layers, under their names in files.
  std::vector<NamedTensor> parameters() const;
  // Those of them that training changes, by their gradients (they want one then) or otherwise.
  std::vector<NamedTensor> changing() const;
  // Of each of parameters(), the learning rate as a share of the training's.
  std::vector<double> rates() const;
  void ZeroGradients();

 private:
  struct Parameter {
    std::string name;
    torch::Tensor tensor;
    ParameterSpec spec;
    bool trainable;  // its layer is
    double rate;
  };
  struct Step {
    std::string name;
    std::unique_ptr<Layer> layer;
    bool fused;  // the one before does its work, unless somebody looks in
  };
  static absl::StatusOr<TensorView> Find(const Safetensors& file, const Parameter& parameter);
  static absl::Status Load(const TensorView& view, Parameter* parameter);
  torch::Tensor AsImages(const torch::Tensor& x) const;

  const Shape input_;
  std::vector<Step> steps_;
  std::vector<Parameter> parameters_;
};

}  // namespace graft

#endif  // GRAFT_CORE_NN_NETWORK_TORCH_H_
