#include "core/train/rmsprop.h"

#include <cmath>

namespace graft {

// Compiled for each instruction set, picked when the program is loaded.
__attribute__((target_clones("avx512f", "avx2", "default"))) void RmspropStep(const RmspropOptions& options, int64_t n,
                                                                              const float* __restrict gradient,
                                                                              float* __restrict square,
                                                                              float* __restrict weight) {
  const float rate = options.learning_rate;
  const float rho = options.rho;
  const float epsilon = options.epsilon;
  for (int64_t i = 0; i < n; ++i) {
    square[i] = rho * square[i] + (1 - rho) * gradient[i] * gradient[i];
    weight[i] -= rate * gradient[i] / std::sqrt(square[i] + epsilon);
  }
}

}  // namespace graft
