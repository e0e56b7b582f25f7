// Our steps, in one pass and in operators, against LibTorch's optimizers.
#include <gtest/gtest.h>
#include <torch/optim.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/train/optimizer_torch.h"

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
  options.epsilon = 1e-6;
  options.momentum = momentum;
  options.weight_decay = weight_decay;
  return options;
}

std::vector<TrainedTensor> Trained(const std::vector<torch::Tensor>& tensors) {
  std::vector<TrainedTensor> trained;
  for (const torch::Tensor& tensor : tensors) {
    trained.push_back({tensor});
  }
  return trained;
}

constexpr double kRate = 0.05;

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
  for (const auto& make : {&MakeOptimizer, &MakeOperatorOptimizer}) {
    for (const Case& c : cases) {
      at::manual_seed(1);
      // Longer than one run of the threads, and of no round length; and one in channels_last memory.
      std::vector<torch::Tensor> ours = {torch::randn({70'003}),
                                         torch::randn({5, 7, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast)};
      std::vector<torch::Tensor> theirs;
      for (torch::Tensor& p : ours) {
        p.set_requires_grad(true);
        theirs.push_back(p.detach().clone().set_requires_grad(true));
      }
      Optimizer optimizer = make(Trained(ours), c.options);
      const auto reference = c.reference(theirs);
      for (int step = 0; step < 20; ++step) {
        for (size_t i = 0; i < ours.size(); ++i) {
          const torch::Tensor gradient = torch::randn(ours[i].sizes());  // contiguous, whatever the parameter is
          ours[i].mutable_grad() = gradient;
          theirs[i].mutable_grad() = gradient.clone();
        }
        optimizer.Step(kRate);
        reference->step();
      }
      for (size_t i = 0; i < ours.size(); ++i) {
        EXPECT_LT((ours[i] - theirs[i]).abs().max().item<float>(), 2e-5) << c.name << ", parameter " << i;
      }
    }
  }
}

TEST(OptimizerTest, OperatorsGiveWhatOnePassGives) {
  const TrainingOptions options;
  at::manual_seed(2);
  std::vector<torch::Tensor> one_pass = {torch::randn({333}).set_requires_grad(true)};
  std::vector<torch::Tensor> operators = {one_pass[0].detach().clone().set_requires_grad(true)};
  Optimizer first = MakeOptimizer(Trained(one_pass), options);
  Optimizer second = MakeOperatorOptimizer(Trained(operators), options);
  for (int step = 0; step < 20; ++step) {
    one_pass[0].mutable_grad() = torch::randn({333});
    operators[0].mutable_grad() = one_pass[0].grad().clone();
    first.Step(kRate);
    second.Step(kRate);
  }
  EXPECT_LT((one_pass[0] - operators[0]).abs().max().item<float>(), 2e-5);
  EXPECT_LT((first.moments()[0][0] - second.moments()[0][0]).abs().max().item<float>(), 2e-5);
}

// Of the step's learning rate each parameter has its share.
TEST(OptimizerTest, RatesAreSharesOfTheSteps) {
  for (const auto& make : {&MakeOptimizer, &MakeOperatorOptimizer}) {
    const std::vector<torch::Tensor> parameters = {torch::ones({7}).set_requires_grad(true),
                                                   torch::ones({7}).set_requires_grad(true)};
    Optimizer optimizer = make({{parameters[0], 1}, {parameters[1], 0.25}}, Options(OptimizerKind::kSgd, 0, 0));
    for (const double rate : {0.5, 0.25}) {
      for (const torch::Tensor& parameter : parameters) {
        parameter.mutable_grad() = torch::ones({7});
      }
      optimizer.Step(rate);
    }
    EXPECT_TRUE(parameters[0].detach().equal(torch::full({7}, 0.25)));
    EXPECT_TRUE(parameters[1].detach().equal(torch::full({7}, 1 - 0.75 / 4)));
  }
}

TEST(OptimizerTest, GradientsAreShortenedTogetherAndOnlyWhereTheyAreLonger) {
  const std::vector<torch::Tensor> parameters = {torch::zeros({1}).set_requires_grad(true),
                                                 torch::zeros({1}).set_requires_grad(true),
                                                 torch::zeros({1}).set_requires_grad(true)};
  Optimizer optimizer = MakeOptimizer(Trained(parameters), Options(OptimizerKind::kSgd, 0, 0));
  parameters[0].mutable_grad() = torch::full({1}, 3.0);
  parameters[1].mutable_grad() = torch::full({1}, 4.0);  // the third has none
  optimizer.ClipGradients(5);
  EXPECT_EQ(parameters[1].grad().item<float>(), 4);
  optimizer.ClipGradients(1);
  EXPECT_NEAR(parameters[0].grad().item<float>(), 0.6, 1e-6);
  EXPECT_NEAR(parameters[1].grad().item<float>(), 0.8, 1e-6);
}

// A frozen parameter has no gradient: RMSprop on a GPU threw on it.
TEST(OptimizerTest, ParametersWithoutGradientStayAsTheyAre) {
  for (const auto& make : {&MakeOptimizer, &MakeOperatorOptimizer}) {
    for (const OptimizerKind kind :
         {OptimizerKind::kRmsprop, OptimizerKind::kSgd, OptimizerKind::kAdam, OptimizerKind::kAdamW}) {
      const std::vector<torch::Tensor> parameters = {torch::ones({50}), torch::ones({50}).set_requires_grad(true)};
      parameters[1].square().sum().backward();
      Optimizer optimizer = make(Trained(parameters), Options(kind, 0.9, 0.1));
      optimizer.Step(kRate);
      EXPECT_TRUE(parameters[0].equal(torch::ones({50}))) << OptimizerName(kind);
      EXPECT_FALSE(parameters[1].equal(torch::ones({50}))) << OptimizerName(kind);
    }
  }
}

}  // namespace
}  // namespace graft
