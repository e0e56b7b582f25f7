// MobileNetV2's block (core/model/layers.h) on the CPU, in float32, without gradients: its three convolutions at once,
// with the batch norms folded into them. For AVX2 and AVX-512, and with the conventions of conv3x3.h.
#ifndef GRAFT_CORE_KERNELS_INVERTED_RESIDUAL_H_
#define GRAFT_CORE_KERNELS_INVERTED_RESIDUAL_H_

#include <cstdint>

#include "core/kernels/conv3x3.h"

namespace graft::kernels {

struct InvertedResidualShape {
  int64_t batch = 1;
  int64_t height = 0;  // of the input
  int64_t width = 0;
  int64_t out_height = 0;
  int64_t out_width = 0;
  int64_t in_channels = 0;
  int64_t hidden_channels = 0;  // as in_channels without the first convolution
  int64_t out_channels = 0;
  int64_t window = 3;  // of the convolution in the middle
  int64_t stride = 1;
  int64_t pad_before = 0;  // above and on the left
  bool expands = true;     // there is a first convolution
  bool adds = false;       // the input to the output
};

struct InvertedResidualWeights {
  const float* expand = nullptr;  // hidden x in; unless expands, null
  const float* expand_bias = nullptr;
  const float* depthwise = nullptr;  // hidden x window x window
  const float* depthwise_bias = nullptr;
  const float* project = nullptr;  // out x hidden
  const float* project_bias = nullptr;
};

// Weights made ready: PackedFloats() floats of the caller's. Of the shape, only channels, window and `expands` count.
int64_t PackedFloats(Isa isa, const InvertedResidualShape& shape);
void Pack(Isa isa, const InvertedResidualShape& shape, const InvertedResidualWeights& weights, float* packed);

// Scratch space of Forward, in floats.
int64_t WorkspaceFloats(Isa isa, const InvertedResidualShape& shape, int threads);
// y, N x out_height x out_width x out_channels, of x, N x height x width x in_channels. ReLU6 behind the first two.
void Forward(Isa isa, const InvertedResidualShape& shape, const float* x, const float* packed, int threads,
             float* workspace, float* y);

}  // namespace graft::kernels

#endif  // GRAFT_CORE_KERNELS_INVERTED_RESIDUAL_H_
