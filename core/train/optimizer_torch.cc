#include "core/train/optimizer_torch.h"

#include <cmath>
#include <utility>

#include "core/train/optimizers.h"

namespace graft {
namespace {

struct Formulas {
  RmspropOptions rmsprop;
  SgdOptions sgd;
  AdamOptions adam;

  explicit Formulas(const TrainingOptions& options) {
    const auto number = [](double x) { return static_cast<float>(x); };
    rmsprop = {number(options.learning_rate), number(options.rho), number(options.epsilon)};
    sgd = {number(options.learning_rate), number(options.momentum), number(options.weight_decay)};
    adam.learning_rate = number(options.learning_rate);
    adam.epsilon = number(options.epsilon);
    adam.weight_decay = number(options.weight_decay);
    adam.decoupled = options.optimizer == OptimizerKind::kAdamW;
  }
};

// An update that calls step(step, count, gradient, first moment, second moment, weight) on runs of a parameter.
template <typename Step>
Optimizer::Update OnePass(Step one_pass) {
  return [one_pass = std::move(one_pass)](int64_t step, const torch::Tensor& gradient,
                                          std::vector<torch::Tensor>& moments, torch::Tensor& weight) {
    // Element i of one must be element i of the other.
    const torch::Tensor ordered =
        gradient.strides() == weight.strides() ? gradient : torch::empty_like(weight.detach()).copy_(gradient);
    auto* const w = weight.data_ptr<float>();
    auto* const a = moments[0].data_ptr<float>();
    auto* const b = moments.size() > 1 ? moments[1].data_ptr<float>() : nullptr;
    const auto* const g = ordered.const_data_ptr<float>();
    constexpr int64_t kGrain = 1 << 15;
    at::parallel_for(0, weight.numel(), kGrain, [&](int64_t from, int64_t to) {
      one_pass(step, to - from, g + from, a + from, b == nullptr ? nullptr : b + from, w + from);
    });
  };
}

}  // namespace

Optimizer::Optimizer(std::vector<torch::Tensor> parameters, int moments, Update update)
    : parameters_(std::move(parameters)), update_(std::move(update)) {
  for (const torch::Tensor& parameter : parameters_) {
    std::vector<torch::Tensor>& kept = moments_.emplace_back();
    for (int i = 0; i < moments; ++i) {
      kept.push_back(torch::zeros_like(parameter.detach()));
    }
  }
}

void Optimizer::Step() {
  const torch::NoGradGuard no_grad;
  ++steps_;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (const torch::Tensor& gradient = parameters_[i].grad(); gradient.defined()) {
      update_(steps_, gradient, moments_[i], parameters_[i]);
    }
  }
}

Optimizer MakeOptimizer(const std::vector<torch::Tensor>& parameters, const TrainingOptions& options) {
  if (!parameters.empty() && !parameters.front().is_cpu()) {
    return MakeOperatorOptimizer(parameters, options);
  }
  const Formulas formulas(options);
  switch (options.optimizer) {
    case OptimizerKind::kRmsprop:
      return {parameters, 1,
              OnePass([o = formulas.rmsprop](int64_t, int64_t n, const float* g, float* square, float*, float* w) {
                RmspropStep(o, n, g, square, w);
              })};
    case OptimizerKind::kSgd:
      return {parameters, 1,
              OnePass([o = formulas.sgd](int64_t, int64_t n, const float* g, float* velocity, float*, float* w) {
                SgdStep(o, n, g, velocity, w);
              })};
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      break;
  }
  return {parameters, 2,
          OnePass([o = formulas.adam](int64_t step, int64_t n, const float* g, float* mean, float* square, float* w) {
            AdamStep(o, step, n, g, mean, square, w);
          })};
}

Optimizer MakeOperatorOptimizer(const std::vector<torch::Tensor>& parameters, const TrainingOptions& options) {
  using torch::Tensor;
  const Formulas formulas(options);
  switch (options.optimizer) {
    case OptimizerKind::kRmsprop:
      return {parameters, 1, [o = formulas.rmsprop](int64_t, const Tensor& g, std::vector<Tensor>& moments, Tensor& w) {
                moments[0].mul_(o.rho).addcmul_(g, g, 1 - o.rho);
                w.addcdiv_(g, (moments[0] + o.epsilon).sqrt_(), -o.learning_rate);
              }};
    case OptimizerKind::kSgd:
      return {parameters, 1, [o = formulas.sgd](int64_t, const Tensor& g, std::vector<Tensor>& moments, Tensor& w) {
                moments[0].mul_(o.momentum).add_(g).add_(w, o.weight_decay);
                w.sub_(moments[0], o.learning_rate);
              }};
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      break;
  }
  return {parameters, 2, [o = formulas.adam](int64_t step, const Tensor& g, std::vector<Tensor>& moments, Tensor& w) {
            Tensor gradient = g;
            if (o.decoupled) {
              w.mul_(1 - o.learning_rate * o.weight_decay);
            } else if (o.weight_decay > 0) {
              gradient = g.add(w, o.weight_decay);
            }
            moments[0].mul_(o.beta1).add_(gradient, 1 - o.beta1);
            moments[1].mul_(o.beta2).addcmul_(gradient, gradient, 1 - o.beta2);
            const double mean_bias = 1 - std::pow(static_cast<double>(o.beta1), static_cast<double>(step));
            const double square_bias = 1 - std::pow(static_cast<double>(o.beta2), static_cast<double>(step));
            w.addcdiv_(moments[0], (moments[1] / square_bias).sqrt_().add_(o.epsilon), -o.learning_rate / mean_bias);
          }};
}

}  // namespace graft
