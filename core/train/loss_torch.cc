#include "core/train/loss_torch.h"

namespace graft {

BatchScore Score(const torch::Tensor& logits, const torch::Tensor& labels, const LossOptions& options) {
  BatchScore result;
  torch::Tensor guess;
  const bool weighted = options.class_weights.defined();
  const int64_t reduction = weighted ? at::Reduction::None : at::Reduction::Mean;
  if (logits.size(1) == 1) {
    const torch::Tensor logit = logits.squeeze(1);
    torch::Tensor target = labels.to(torch::kFloat);
    if (options.label_smoothing > 0) {
      target = target * (1 - options.label_smoothing) + options.label_smoothing / 2;
    }
    result.loss = at::binary_cross_entropy_with_logits(logit, target, {}, {}, reduction);
    guess = logit.detach() > 0;
  } else {
    result.loss = at::cross_entropy_loss(logits, labels, {}, reduction, -100, options.label_smoothing);
    guess = logits.detach().argmax(1);
  }
  if (weighted) {
    result.loss = (result.loss * options.class_weights.index_select(0, labels)).mean();
  }
  result.correct = guess.eq(labels).sum().item<double>();
  return result;
}

torch::Tensor Probabilities(const torch::Tensor& logits) {
  if (logits.size(1) == 1) {
    const torch::Tensor second = logits.sigmoid();
    return torch::cat({1 - second, second}, 1).cpu().contiguous();
  }
  return logits.softmax(1).cpu().contiguous();
}

}  // namespace graft
