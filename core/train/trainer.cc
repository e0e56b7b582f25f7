#include "core/train/trainer.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/data/packed_images.h"
#include "core/nn/internal/network_torch.h"
#include "core/nn/runtime.h"
#include "core/nn/trunk.h"
#include "core/train/features.h"
#include "core/train/rmsprop.h"

namespace graft {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// What a network trains on: images or features, by their index in the manifest.
class Inputs {
 public:
  virtual ~Inputs() = default;
  virtual torch::Tensor Gather(absl::Span<const int64_t> indices) const = 0;
};

class ImageInputs : public Inputs {
 public:
  ImageInputs(std::shared_ptr<const PackedImages> images, Preprocessing preprocessing, torch::Device device)
      : images_(std::move(images)), preprocessing_(preprocessing), device_(device) {}

  torch::Tensor Gather(absl::Span<const int64_t> indices) const override {
    const size_t bytes = images_->image(0).size();
    buffer_.resize(indices.size() * bytes);
    for (size_t i = 0; i < indices.size(); ++i) {
      std::memcpy(buffer_.data() + i * bytes, images_->image(indices[i]).data(), bytes);
    }
    return internal::InputTensor(buffer_, static_cast<int64_t>(indices.size()), images_->image_size(), preprocessing_,
                                 device_);
  }

 private:
  std::shared_ptr<const PackedImages> images_;
  Preprocessing preprocessing_;
  torch::Device device_;
  mutable std::vector<uint8_t> buffer_;  // one trainer, one thread
};

class FeatureInputs : public Inputs {
 public:
  FeatureInputs(std::shared_ptr<const Features> features, torch::Device device)
      : features_(std::move(features)),
        all_(torch::from_blob(const_cast<float*>(features_->values().data()),
                              {features_->size(), features_->dimension()})),
        device_(device) {}

  torch::Tensor Gather(absl::Span<const int64_t> indices) const override {
    const torch::Tensor rows =
        torch::from_blob(const_cast<int64_t*>(indices.data()), {static_cast<int64_t>(indices.size())}, torch::kLong);
    return all_.index_select(0, rows).to(device_);
  }

 private:
  std::shared_ptr<const Features> features_;
  torch::Tensor all_;
  torch::Device device_;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual void Step() = 0;
};

class KerasRmsprop : public Optimizer {
 public:
  KerasRmsprop(std::vector<torch::Tensor> parameters, const TrainingOptions& options)
      : parameters_(std::move(parameters)),
        options_{static_cast<float>(options.learning_rate), static_cast<float>(options.rho),
                 static_cast<float>(options.epsilon)} {
    for (const torch::Tensor& parameter : parameters_) {
      squares_.push_back(torch::zeros_like(parameter));
    }
  }

  void Step() override {
    torch::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      torch::Tensor& w = parameters_[i];
      torch::Tensor& v = squares_[i];
      torch::Tensor g = w.grad();
      if (!w.is_cpu()) {
        v.mul_(options_.rho).addcmul_(g, g, 1 - options_.rho);
        w.addcdiv_(g, (v + options_.epsilon).sqrt_(), -options_.learning_rate);
        continue;
      }
      if (g.strides() != w.strides()) {  // element i of one must be element i of the other
        g = torch::empty_like(w).copy_(g);
      }
      float* const weight = w.data_ptr<float>();
      float* const square = v.data_ptr<float>();
      const float* const gradient = g.data_ptr<float>();
      constexpr int64_t kGrain = 1 << 15;
      at::parallel_for(0, w.numel(), kGrain, [&](int64_t from, int64_t to) {
        RmspropStep(options_, to - from, gradient + from, square + from, weight + from);
      });
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

std::unique_ptr<Optimizer> MakeOptimizer(const std::vector<torch::Tensor>& parameters, const TrainingOptions& options) {
  namespace optim = torch::optim;
  const double rate = options.learning_rate;
  switch (options.optimizer) {
    case OptimizerKind::kRmsprop:
      return std::make_unique<KerasRmsprop>(parameters, options);
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

// Running means of loss and accuracy over images.
struct Meter {
  double loss = 0;
  double correct = 0;
  int64_t images = 0;

  void Add(double batch_loss, double batch_correct, int64_t count) {
    loss += batch_loss * static_cast<double>(count);
    correct += batch_correct;
    images += count;
  }
  double MeanLoss() const { return loss / static_cast<double>(images); }
  double Accuracy() const { return correct / static_cast<double>(images); }
};

struct BatchResult {
  torch::Tensor loss;
  double correct = 0;
};

// Mean loss and number of right answers. One output: binary cross-entropy of its sigmoid; more: cross-entropy of their
// softmax.
BatchResult Score(const torch::Tensor& logits, const torch::Tensor& labels) {
  BatchResult result;
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

// Fisher-Yates with a generator and a draw that the C++ standard pins down, so that the order is the same everywhere.
void Shuffle(std::mt19937_64* generator, std::vector<int64_t>* values) {
  for (size_t i = values->size(); i > 1; --i) {
    std::swap((*values)[i - 1], (*values)[(*generator)() % i]);
  }
}

absl::Status SaveWeights(const internal::Network& network, const std::filesystem::path& path) {
  const auto weights = network.Weights();
  std::vector<TensorView> views;
  for (const auto& [name, tensor] : weights) {
    views.push_back({name, DType::kF32, tensor.sizes().vec(),
                     AsBytes(absl::MakeConstSpan(tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())))});
  }
  return WriteSafetensors(path, views, {{"format", "pt"}});
}

absl::StatusOr<TrainOutcome> TrainOrThrow(const TrainRequest& request, const TrainHooks& hooks) {
  const Manifest& manifest = *request.manifest;
  const auto classes = static_cast<int64_t>(manifest.labels.size());
  TrainOutcome outcome;
  outcome.options = request.options;
  TrainingOptions& options = outcome.options;
  GRAFT_RETURN_IF_ERROR(options.Validate());
  GRAFT_RETURN_IF_ERROR(DescribeVariant(*request.variant, options, classes).status());
  options.preprocessing = ResolvePreprocessing(options.preprocessing, request.variant->trunk);
  const torch::Device device(options.device);
  SetTorchThreads(options.threads);

  std::unique_ptr<Inputs> inputs;
  std::array<int64_t, 3> input_shape = {options.image_size, options.image_size, 3};
  if (request.variant->trunk == nullptr) {
    GRAFT_ASSIGN_OR_RETURN(
        auto images, PackedImages::OpenOrBuild(request.dataset, manifest, options.image_size, options.interpolation,
                                               options.threads, hooks.on_progress));
    inputs = std::make_unique<ImageInputs>(std::move(images), options.preprocessing, device);
  } else {
    GRAFT_ASSIGN_OR_RETURN(const auto trunk,
                           Trunk::Load(request.variant->trunk->name, request.weights_dir, options.device));
    GRAFT_ASSIGN_OR_RETURN(auto features, Features::OpenOrExtract(request.dataset, manifest, *trunk,
                                                                  {options.preprocessing, options.interpolation,
                                                                   options.image_size, options.threads},
                                                                  hooks.on_progress));
    input_shape = FeatureShape(trunk->info(), options.image_size);
    outcome.trunk_fingerprint = trunk->fingerprint();
    inputs = std::make_unique<FeatureInputs>(std::move(features), device);
  }

  torch::manual_seed(options.seed);
  std::mt19937_64 order(options.seed);
  internal::Network network(request.variant->layers(options, OutputUnits(classes)), input_shape);
  network.to(device);
  const std::unique_ptr<Optimizer> optimizer = MakeOptimizer(network.parameters(), options);

  std::vector<int64_t> train;
  std::vector<int64_t> validation;
  std::vector<int64_t> label_values;
  for (size_t i = 0; i < manifest.entries.size(); ++i) {
    const ManifestEntry& entry = manifest.entries[i];
    label_values.push_back(entry.label);
    if (entry.part == Part::kTrain) {
      train.push_back(static_cast<int64_t>(i));
    } else if (entry.part == Part::kValidation) {
      validation.push_back(static_cast<int64_t>(i));
    }
  }
  const auto labels_of = [&](absl::Span<const int64_t> indices) {
    torch::Tensor labels = torch::empty({static_cast<int64_t>(indices.size())}, torch::kLong);
    auto* const values = labels.data_ptr<int64_t>();
    for (size_t i = 0; i < indices.size(); ++i) {
      values[i] = label_values[static_cast<size_t>(indices[i])];
    }
    return labels.to(device);
  };
  const auto batch_size = static_cast<size_t>(options.batch_size);

  const Clock::time_point start = Clock::now();
  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    const Clock::time_point epoch_start = Clock::now();
    Shuffle(&order, &train);
    network.train();
    Meter training;
    const int steps = static_cast<int>((train.size() + batch_size - 1) / batch_size);
    for (int step = 1; step <= steps; ++step) {
      const auto batch = absl::MakeConstSpan(train).subspan(static_cast<size_t>(step - 1) * batch_size, batch_size);
      network.zero_grad();
      const BatchResult result = Score(network.Forward(inputs->Gather(batch)), labels_of(batch));
      const auto loss = result.loss.item<double>();
      if (!std::isfinite(loss)) {
        return absl::FailedPreconditionError(absl::StrFormat(
            "the loss is no longer finite at epoch %d, step %d; use a lower options.learning_rate than %g", epoch, step,
            options.learning_rate));
      }
      result.loss.backward();
      optimizer->Step();
      training.Add(loss, result.correct, static_cast<int64_t>(batch.size()));
      GRAFT_RETURN_IF_ERROR(hooks.on_step({epoch, step, steps, static_cast<int>(batch.size()), loss,
                                           result.correct / static_cast<double>(batch.size())}));
    }
    network.eval();
    Meter scored;
    torch::NoGradGuard no_grad;
    for (size_t from = 0; from < validation.size(); from += batch_size) {
      const auto batch = absl::MakeConstSpan(validation).subspan(from, batch_size);
      const BatchResult result = Score(network.Forward(inputs->Gather(batch)), labels_of(batch));
      scored.Add(result.loss.item<double>(), result.correct, static_cast<int64_t>(batch.size()));
      GRAFT_RETURN_IF_ERROR(
          hooks.on_progress({"validate", scored.images, static_cast<int64_t>(validation.size()), "images"}));
    }
    outcome.history.push_back({epoch, training.MeanLoss(), training.Accuracy(), scored.MeanLoss(), scored.Accuracy(),
                               SecondsSince(epoch_start)});
    GRAFT_RETURN_IF_ERROR(hooks.on_epoch(outcome.history.back()));
  }
  outcome.seconds = SecondsSince(start);
  GRAFT_RETURN_IF_ERROR(SaveWeights(network, WeightsFile(request.out)));
  return outcome;
}

}  // namespace

absl::StatusOr<TrainOutcome> Train(const TrainRequest& request, const TrainHooks& hooks) {
  return CatchExceptions("training", [&] { return TrainOrThrow(request, hooks); });
}

}  // namespace graft
