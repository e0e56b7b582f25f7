// What a classifier's logits mean. One output: the sigmoid of the second of two classes; more: a softmax over classes.
// Only core's own .cc files include this.
#ifndef GRAFT_CORE_TRAIN_LOSS_TORCH_H_
#define GRAFT_CORE_TRAIN_LOSS_TORCH_H_

#include <torch/types.h>

namespace graft {

struct BatchScore {
  torch::Tensor loss;  // mean cross-entropy over the batch, a scalar
  double correct = 0;  // right answers
};
// What training makes of plain cross-entropy.
struct LossOptions {
  double label_smoothing = 0;   // share of each label that is spread evenly over all classes
  torch::Tensor class_weights;  // one a class, float32; undefined: all are 1
};
// logits: N x outputs; labels: N class indices, int64. With class weights the loss is the weighted sum over the batch,
// divided by N, as Keras has it.
BatchScore Score(const torch::Tensor& logits, const torch::Tensor& labels, const LossOptions& options = {});

// N x classes, on the CPU; each row sums to 1.
torch::Tensor Probabilities(const torch::Tensor& logits);

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_LOSS_TORCH_H_
