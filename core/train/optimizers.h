// Optimizers' steps, each in one pass over memory, where LibTorch makes four or more.
#ifndef GRAFT_CORE_TRAIN_OPTIMIZERS_H_
#define GRAFT_CORE_TRAIN_OPTIMIZERS_H_

#include <cstdint>

namespace graft {

struct RmspropOptions {
  float learning_rate = 1e-3F;
  float rho = 0.9F;
  float epsilon = 1e-7F;
};

// Keras's, which adds epsilon under the root: for each of n numbers,
// square = rho square + (1 - rho) gradient^2; weight -= learning_rate gradient / sqrt(square + epsilon).
void RmspropStep(const RmspropOptions& options, int64_t n, const float* gradient, float* square, float* weight);

struct SgdOptions {
  float learning_rate = 1e-2F;
  float momentum = 0;
  float weight_decay = 0;
};

// PyTorch's: velocity = momentum velocity + (gradient + weight_decay weight); weight -= learning_rate velocity.
// velocity starts as 0.
void SgdStep(const SgdOptions& options, int64_t n, const float* gradient, float* velocity, float* weight);

struct AdamOptions {
  float learning_rate = 1e-3F;
  float beta1 = 0.9F;
  float beta2 = 0.999F;
  float epsilon = 1e-8F;
  float weight_decay = 0;
  // AdamW (Loshchilov and Hutter, 2019): the decay works on the weight itself and not through the gradient.
  bool decoupled = false;
};

// PyTorch's, step `step` (from 1): mean and square are the running moments, which start as 0 and are corrected for
// that; weight -= learning_rate mean' / (sqrt(square') + epsilon).
void AdamStep(const AdamOptions& options, int64_t step, int64_t n, const float* gradient, float* mean, float* square,
              float* weight);

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_OPTIMIZERS_H_
