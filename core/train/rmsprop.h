// RMSprop as Keras computes it, in one pass over memory.
#ifndef GRAFT_CORE_TRAIN_RMSPROP_H_
#define GRAFT_CORE_TRAIN_RMSPROP_H_

#include <cstdint>

namespace graft {

struct RmspropOptions {
  float learning_rate = 1e-3F;
  float rho = 0.9F;
  float epsilon = 1e-7F;
};

// For each of n numbers: square = rho square + (1 - rho) gradient^2; weight -= learning_rate gradient / sqrt(square +
// epsilon). LibTorch's own adds epsilon outside of the root and makes four passes.
void RmspropStep(const RmspropOptions& options, int64_t n, const float* gradient, float* square, float* weight);

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_RMSPROP_H_
