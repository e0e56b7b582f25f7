#include "core/train/loss_torch.h"

namespace graft {

BatchScore Score(const torch::Tensor& logits, const torch::Tensor& labels) {
  BatchScore result;
  torch::Tensor guess;
  if (logits.size(1) == 1) {
    const torch::Tensor logit = logits.squeeze(1);
    result.loss = torch::binary_cross_entropy_with_logits(logit, labels.to(torch::kFloat));
    guess = logit.detach() > 0;
  } else {
    result.loss = torch::cross_entropy_loss(logits, labels);
    guess = logits.detach().argmax(1);
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
