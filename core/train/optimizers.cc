#include "core/train/optimizers.h"

#include <cmath>

#include "core/base/each_cpu.h"

#define GRAFT_STEP GRAFT_FOR_EACH_CPU("avx512f", "avx2", "default")

namespace graft {

GRAFT_STEP void RmspropStep(const RmspropOptions& options, int64_t n, const float* __restrict gradient,
                            float* __restrict square, float* __restrict weight) {
  const float rate = options.learning_rate;
  const float rho = options.rho;
  const float epsilon = options.epsilon;
  for (int64_t i = 0; i < n; ++i) {
    square[i] = rho * square[i] + (1 - rho) * gradient[i] * gradient[i];
    weight[i] -= rate * gradient[i] / std::sqrt(square[i] + epsilon);
  }
}

GRAFT_STEP void SgdStep(const SgdOptions& options, int64_t n, const float* __restrict gradient,
                        float* __restrict velocity, float* __restrict weight) {
  const float rate = options.learning_rate;
  const float momentum = options.momentum;
  const float decay = options.weight_decay;
  for (int64_t i = 0; i < n; ++i) {
    velocity[i] = momentum * velocity[i] + (gradient[i] + decay * weight[i]);
    weight[i] -= rate * velocity[i];
  }
}

GRAFT_STEP void AdamStep(const AdamOptions& options, int64_t step, int64_t n, const float* __restrict gradient,
                         float* __restrict mean, float* __restrict square, float* __restrict weight) {
  const float beta1 = options.beta1;
  const float beta2 = options.beta2;
  const float epsilon = options.epsilon;
  // One of the two is 0.
  const float decay = options.decoupled ? 0 : options.weight_decay;
  const float shrink = options.decoupled ? 1 - options.learning_rate * options.weight_decay : 1;
  const auto t = static_cast<double>(step);
  const auto rate = static_cast<float>(options.learning_rate / (1 - std::pow(static_cast<double>(beta1), t)));
  const auto root = static_cast<float>(1 / std::sqrt(1 - std::pow(static_cast<double>(beta2), t)));
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] + decay * weight[i];
    mean[i] = beta1 * mean[i] + (1 - beta1) * g;
    square[i] = beta2 * square[i] + (1 - beta2) * g * g;
    weight[i] = shrink * weight[i] - rate * mean[i] / (std::sqrt(square[i]) * root + epsilon);
  }
}

}  // namespace graft
