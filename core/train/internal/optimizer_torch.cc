#include "core/train/internal/optimizer_torch.h"

#include <utility>

#include "core/train/optimizers.h"

namespace graft::internal {
namespace {

// Calls update(count, gradient, first, second, weight) on runs of each parameter; first and second are its state.
template <typename Update>
class OnePass : public Optimizer {
 public:
  OnePass(std::vector<torch::Tensor> parameters, int states, Update update)
      : parameters_(std::move(parameters)), update_(std::move(update)) {
    for (const torch::Tensor& parameter : parameters_) {
      first_.push_back(torch::zeros_like(parameter));
      second_.push_back(states > 1 ? torch::zeros_like(parameter) : torch::Tensor());
    }
  }

  void Step() override {
    ++step_;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const torch::Tensor& weight = parameters_[i];
      torch::Tensor gradient = weight.grad();
      if (!gradient.defined()) {
        continue;
      }
      if (gradient.strides() != weight.strides()) {  // element i of one must be element i of the other
        gradient = torch::empty_like(weight.detach()).copy_(gradient);
      }
      float* const w = weight.data_ptr<float>();
      float* const a = first_[i].template data_ptr<float>();
      float* const b = second_[i].defined() ? second_[i].template data_ptr<float>() : nullptr;
      const float* const g = gradient.data_ptr<float>();
      constexpr int64_t kGrain = 1 << 15;
      at::parallel_for(0, weight.numel(), kGrain, [&](int64_t from, int64_t to) {
        update_(step_, to - from, g + from, a + from, b == nullptr ? nullptr : b + from, w + from);
      });
    }
  }

 private:
  std::vector<torch::Tensor> parameters_;
  std::vector<torch::Tensor> first_;
  std::vector<torch::Tensor> second_;
  Update update_;
  int64_t step_ = 0;
};

template <typename Update>
std::unique_ptr<Optimizer> MakeOnePass(const std::vector<torch::Tensor>& parameters, int states, Update update) {
  return std::make_unique<OnePass<Update>>(parameters, states, std::move(update));
}

// Keras's formula in LibTorch's operators.
class RmspropOnGpu : public Optimizer {
 public:
  RmspropOnGpu(std::vector<torch::Tensor> parameters, RmspropOptions options)
      : parameters_(std::move(parameters)), options_(options) {
    for (const torch::Tensor& parameter : parameters_) {
      squares_.push_back(torch::zeros_like(parameter));
    }
  }

  void Step() override {
    torch::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const torch::Tensor g = parameters_[i].grad();
      squares_[i].mul_(options_.rho).addcmul_(g, g, 1 - options_.rho);
      parameters_[i].addcdiv_(g, (squares_[i] + options_.epsilon).sqrt_(), -options_.learning_rate);
    }
  }

 private:
  std::vector<torch::Tensor> parameters_;
  std::vector<torch::Tensor> squares_;
  RmspropOptions options_;
};

class TorchOptimizer : public Optimizer {
 public:
  explicit TorchOptimizer(std::unique_ptr<torch::optim::Optimizer> optimizer) : optimizer_(std::move(optimizer)) {}
  void Step() override { optimizer_->step(); }

 private:
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

std::unique_ptr<Optimizer> MakeOnGpu(const std::vector<torch::Tensor>& parameters, const TrainingOptions& options,
                                     const RmspropOptions& rmsprop) {
  namespace optim = torch::optim;
  const double rate = options.learning_rate;
  switch (options.optimizer) {
    case OptimizerKind::kRmsprop:
      return std::make_unique<RmspropOnGpu>(parameters, rmsprop);
    case OptimizerKind::kSgd:
      return std::make_unique<TorchOptimizer>(std::make_unique<optim::SGD>(
          parameters, optim::SGDOptions(rate).momentum(options.momentum).weight_decay(options.weight_decay)));
    case OptimizerKind::kAdam:
      return std::make_unique<TorchOptimizer>(std::make_unique<optim::Adam>(
          parameters, optim::AdamOptions(rate).eps(options.epsilon).weight_decay(options.weight_decay)));
    case OptimizerKind::kAdamW:
      return std::make_unique<TorchOptimizer>(std::make_unique<optim::AdamW>(
          parameters, optim::AdamWOptions(rate).eps(options.epsilon).weight_decay(options.weight_decay)));
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<Optimizer> MakeOptimizer(const std::vector<torch::Tensor>& parameters, const TrainingOptions& options) {
  const auto number = [](double x) { return static_cast<float>(x); };
  const RmspropOptions rmsprop = {number(options.learning_rate), number(options.rho), number(options.epsilon)};
  const SgdOptions sgd = {number(options.learning_rate), number(options.momentum), number(options.weight_decay)};
  AdamOptions adam;
  adam.learning_rate = number(options.learning_rate);
  adam.epsilon = number(options.epsilon);
  adam.weight_decay = number(options.weight_decay);
  adam.decoupled = options.optimizer == OptimizerKind::kAdamW;
  if (!parameters.empty() && !parameters.front().is_cpu()) {
    return MakeOnGpu(parameters, options, rmsprop);
  }
  switch (options.optimizer) {
    case OptimizerKind::kRmsprop:
      return MakeOnePass(parameters, 1, [rmsprop](int64_t, int64_t n, const float* g, float* square, float*, float* w) {
        RmspropStep(rmsprop, n, g, square, w);
      });
    case OptimizerKind::kSgd:
      return MakeOnePass(parameters, 1, [sgd](int64_t, int64_t n, const float* g, float* velocity, float*, float* w) {
        SgdStep(sgd, n, g, velocity, w);
      });
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return MakeOnePass(parameters, 2,
                         [adam](int64_t step, int64_t n, const float* g, float* mean, float* square, float* w) {
                           AdamStep(adam, step, n, g, mean, square, w);
                         });
  }
  return nullptr;
}

}  // namespace graft::internal
