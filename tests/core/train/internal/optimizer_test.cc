// Our one-pass steps against LibTorch's optimizers.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/train/internal/optimizer_torch.h"

namespace graft {
namespace {

namespace optim = torch::optim;

struct Case {
  const char* name;
  TrainingOptions options;
  std::function<std::unique_ptr<optim::Optimizer>(std::vector<torch::Tensor>)> reference;
};

TrainingOptions Options(OptimizerKind kind, double momentum, double weight_decay) {
  TrainingOptions options;
  options.optimizer = kind;
  options.learning_rate = 0.05;
  options.epsilon = 1e-6;
  options.momentum = momentum;
  options.weight_decay = weight_decay;
  return options;
}

TEST(OptimizerTest, TwentyStepsAreLibTorchs) {
  const auto sgd = [](double momentum, double decay) {
    return [=](std::vector<torch::Tensor> p) -> std::unique_ptr<optim::Optimizer> {
      return std::make_unique<optim::SGD>(p, optim::SGDOptions(0.05).momentum(momentum).weight_decay(decay));
    };
  };
  const auto adam = [](double decay) {
    return [=](std::vector<torch::Tensor> p) -> std::unique_ptr<optim::Optimizer> {
      return std::make_unique<optim::Adam>(p, optim::AdamOptions(0.05).eps(1e-6).weight_decay(decay));
    };
  };
  const auto adamw = [](double decay) {
    return [=](std::vector<torch::Tensor> p) -> std::unique_ptr<optim::Optimizer> {
      return std::make_unique<optim::AdamW>(p, optim::AdamWOptions(0.05).eps(1e-6).weight_decay(decay));
    };
  };
  const std::vector<Case> cases = {
      {"sgd", Options(OptimizerKind::kSgd, 0, 0), sgd(0, 0)},
      {"sgd with momentum and decay", Options(OptimizerKind::kSgd, 0.9, 0.01), sgd(0.9, 0.01)},
      {"adam", Options(OptimizerKind::kAdam, 0, 0), adam(0)},
      {"adam with decay", Options(OptimizerKind::kAdam, 0, 0.1), adam(0.1)},
      {"adamw", Options(OptimizerKind::kAdamW, 0, 0.1), adamw(0.1)},
  };
  for (const Case& c : cases) {
    torch::manual_seed(1);
    // Longer than one run of the threads, and of no round length; and one in channels_last memory.
    std::vector<torch::Tensor> ours = {torch::randn({70'003}),
                                       torch::randn({5, 7, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast)};
    std::vector<torch::Tensor> theirs;
    for (torch::Tensor& p : ours) {
      p.set_requires_grad(true);
      theirs.push_back(p.detach().clone().set_requires_grad(true));
    }
    const auto optimizer = internal::MakeOptimizer(ours, c.options);
    const auto reference = c.reference(theirs);
    for (int step = 0; step < 20; ++step) {
      for (size_t i = 0; i < ours.size(); ++i) {
        const torch::Tensor gradient = torch::randn(ours[i].sizes());  // contiguous, whatever the parameter is
        ours[i].mutable_grad() = gradient;
        theirs[i].mutable_grad() = gradient.clone();
      }
      optimizer->Step();
      reference->step();
    }
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_LT((ours[i] - theirs[i]).abs().max().item<float>(), 2e-5) << c.name << ", parameter " << i;
    }
  }
}

}  // namespace
}  // namespace graft
