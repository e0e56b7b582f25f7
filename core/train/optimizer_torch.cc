#include "core/train/optimizer_torch.h"

#include <ATen/Parallel.h>

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
    rmsprop = {0, number(options.rho), number(options.epsilon)};
    sgd = {0, number(options.momentum), number(options.weight_decay)};
    adam.epsilon = number(options.epsilon);
    adam.weight_decay = number(options.weight_decay);
    adam.decoupled = options.optimizer == OptimizerKind::kAdamW;
  }
};

// With this step's learning rate.
template <typename Formula>
Formula At(Formula formula, double learning_rate) {
  formula.learning_rate = static_cast<float>(learning_rate);
  return formula;
}

// An update that calls one_pass(formula, step, count, gradient, first moment, second moment, weight) on runs of a
// parameter.
template <typename Formula, typename Step>
Optimizer::Update OnePass(const Formula& formula, Step one_pass) {
  return [formula, one_pass = std::move(one_pass)](int64_t step, double learning_rate, const torch::Tensor& gradient,
                                                   std::vector<torch::Tensor>& moments, torch::Tensor& weight) {
    const Formula now = At(formula, learning_rate);
    // Element i of one must be element i of the other.
    const torch::Tensor ordered =
        gradient.strides() == weight.strides() ? gradient : torch::empty_like(weight.detach()).copy_(gradient);
    auto* const w = weight.data_ptr<float>();
    auto* const a = moments[0].data_ptr<float>();
    auto* const b = moments.size() > 1 ? moments[1].data_ptr<float>() : nullptr;
    const auto* const g = ordered.const_data_ptr<float>();
    constexpr int64_t kGrain = 1 << 15;
    at::parallel_for(0, weight.numel(), kGrain, [&](int64_t from, int64_t to) {
      one_pass(now, step, to - from, g + from, a + from, b == nullptr ? nullptr : b + from, w + from);
    });
  };
}

}  // namespace

Optimizer::Optimizer(std::vector<TrainedTensor> parameters, int moments, Update update)
    : parameters_(std::move(parameters)), update_(std::move(update)) {
  for (const TrainedTensor& parameter : parameters_) {
    std::vector<torch::Tensor>& kept = moments_.emplace_back();
    for (int i = 0; i < moments; ++i) {
      kept.push_back(torch::zeros_like(parameter.tensor.detach()));
    }
  }
}

void Optimizer::Step(double learning_rate) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    TrainedTensor& parameter = parameters_[i];
    if (const torch::Tensor& gradient = parameter.tensor.grad(); gradient.defined()) {
      update_(steps_, learning_rate * parameter.rate, gradient, moments_[i], parameter.tensor);
    }
  }
}

void Optimizer::ClipGradients(double norm) {
  const torch::NoGradGuard no_grad;
  double square = 0;
  for (const TrainedTensor& parameter : parameters_) {
    if (const torch::Tensor& gradient = parameter.tensor.grad(); gradient.defined()) {
      const double length = gradient.norm().item<double>();
      square += length * length;
    }
  }
  const double length = std::sqrt(square);
  if (!(length > norm)) {
    return;
  }
  for (const TrainedTensor& parameter : parameters_) {
    if (parameter.tensor.grad().defined()) {
      parameter.tensor.mutable_grad().mul_(norm / length);
    }
  }
}

Optimizer MakeOptimizer(const std::vector<TrainedTensor>& parameters, const TrainingOptions& options) {
  if (!parameters.empty() && !parameters.front().tensor.is_cpu()) {
    return MakeOperatorOptimizer(parameters, options);
  }
  const Formulas formulas(options);
  switch (options.optimizer) {
    case OptimizerKind::kRmsprop:
      return {parameters, 1,
              OnePass(formulas.rmsprop, [](const RmspropOptions& o, int64_t, int64_t n, const float* g, float* square,
                                           float*, float* w) { RmspropStep(o, n, g, square, w); })};
    case OptimizerKind::kSgd:
      return {parameters, 1,
              OnePass(formulas.sgd, [](const SgdOptions& o, int64_t, int64_t n, const float* g, float* velocity, float*,
                                       float* w) { SgdStep(o, n, g, velocity, w); })};
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      break;
  }
  return {parameters, 2,
          OnePass(formulas.adam, [](const AdamOptions& o, int64_t step, int64_t n, const float* g, float* mean,
                                    float* square, float* w) { AdamStep(o, step, n, g, mean, square, w); })};
}

Optimizer MakeOperatorOptimizer(const std::vector<TrainedTensor>& parameters, const TrainingOptions& options) {
  using torch::Tensor;
  const Formulas formulas(options);
  switch (options.optimizer) {
    case OptimizerKind::kRmsprop:
      return {
          parameters, 1,
          [formula = formulas.rmsprop](int64_t, double rate, const Tensor& g, std::vector<Tensor>& moments, Tensor& w) {
            const auto o = At(formula, rate);
            moments[0].mul_(o.rho).addcmul_(g, g, 1 - o.rho);
            w.addcdiv_(g, (moments[0] + o.epsilon).sqrt_(), -o.learning_rate);
          }};
    case OptimizerKind::kSgd:
      return {parameters, 1,
              [formula = formulas.sgd](int64_t, double rate, const Tensor& g, std::vector<Tensor>& moments, Tensor& w) {
                const auto o = At(formula, rate);
                moments[0].mul_(o.momentum).add_(g).add_(w, o.weight_decay);
                w.sub_(moments[0], o.learning_rate);
              }};
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      break;
  }
  return {
      parameters, 2,
      [formula = formulas.adam](int64_t step, double rate, const Tensor& g, std::vector<Tensor>& moments, Tensor& w) {
        const auto o = At(formula, rate);
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
