// Pixels to what networks take. Only core's own .cc files include this.
#ifndef GRAFT_CORE_NN_INPUT_TORCH_H_
#define GRAFT_CORE_NN_INPUT_TORCH_H_

#include <torch/types.h>

#include <cstdint>

#include "absl/types/span.h"
#include "core/model/options.h"

namespace graft {

// Pixels, three channels each, from 0 to 255 and RGB, to what networks take. `out` may be `rgb`. `preprocessing` isn't
// kAuto, here and below.
void PreparePixels(absl::Span<const uint8_t> rgb, Preprocessing preprocessing, float* out);
void PreparePixels(absl::Span<const float> rgb, Preprocessing preprocessing, float* out);

// N x size x size x 3 bytes, RGB, to N x 3 x size x size floats in channels_last memory on `device`, prepared.
torch::Tensor InputTensor(absl::Span<const uint8_t> images, int64_t count, int64_t size, Preprocessing preprocessing,
                          const torch::Device& device);

}  // namespace graft

#endif  // GRAFT_CORE_NN_INPUT_TORCH_H_
