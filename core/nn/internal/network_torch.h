// LibTorch side of core/nn: networks built from layer specs. Only core's own .cc files include this.
#ifndef GRAFT_CORE_NN_INTERNAL_NETWORK_TORCH_H_
#define GRAFT_CORE_NN_INTERNAL_NETWORK_TORCH_H_

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/safetensors.h"
#include "core/nn/internal/convolution_torch.h"
#include "core/nn/internal/dense_torch.h"
#include "core/model/variants.h"

namespace graft::internal {

// Pixels, three channels each, from 0 to 255 and RGB, to what networks take. `out` may be `rgb`.
void PreparePixels(absl::Span<const uint8_t> rgb, Preprocessing preprocessing, float* out);
void PreparePixels(absl::Span<const float> rgb, Preprocessing preprocessing, float* out);

// N x size x size x 3 bytes, RGB, to N x 3 x size x size floats in channels_last memory on `device`, prepared.
torch::Tensor InputTensor(absl::Span<const uint8_t> images, int64_t count, int64_t size, Preprocessing preprocessing,
                          const torch::Device& device);

// A stack of layers. Thread-safe while nobody trains it: forward only reads.
class Network : public torch::nn::Module {
 public:
  // Weights are Glorot-uniform and biases zero, as Keras's, drawn from LibTorch's generator.
  Network(std::vector<LayerSpec> layers, std::array<int64_t, 3> input);

  // Input: N x C x H x W floats in channels_last memory, or N x features for a stack that starts with Flatten.
  // Output, float32: logits, N x outputs; without a dense layer, N x C x H x W in channels_last.
  // With kBfloat16, convolutions and dense layers compute in that, under LibTorch's autocast.
  torch::Tensor Forward(torch::Tensor x, Precision precision = Precision::kFloat32);

  // Names as in the layer specs: "conv2d_1.weight" (OIHW), "dense_1.weight" (outputs x inputs), "dense_1.bias".
  absl::Status Load(const Safetensors& file, const std::map<std::string, std::string>& file_names = {});
  // Copies on the CPU, in the order of the layers.
  std::vector<std::pair<std::string, torch::Tensor>> Weights() const;

 private:
  struct Parameters {
    torch::Tensor weight;
    torch::Tensor bias;
    std::unique_ptr<Convolution> convolution;  // null for other layers
    std::unique_ptr<Dense> dense;              // likewise
  };
  std::vector<LayerSpec> layers_;
  std::vector<Parameters> parameters_;  // one a layer; undefined where it has none
};

// Probabilities, N x classes on the CPU, of logits.
torch::Tensor Probabilities(const torch::Tensor& logits);

}  // namespace graft::internal

#endif  // GRAFT_CORE_NN_INTERNAL_NETWORK_TORCH_H_
