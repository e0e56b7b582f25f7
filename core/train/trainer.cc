#include "core/train/trainer.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <initializer_list>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/parallel.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/data/augment.h"
#include "core/data/packed_images.h"
#include "core/kernels/conv3x3.h"
#include "core/nn/internal/network_torch.h"
#include "core/nn/runtime.h"
#include "core/trunks/trunk.h"
#include "core/train/features.h"
#include "core/train/internal/optimizer_torch.h"

namespace graft {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// What a network trains on: images or features, by their index in the manifest.
class Inputs {
 public:
  virtual ~Inputs() = default;
  // Called from one thread at a time, not always the same one. epoch: 0 for validation, where nothing is augmented.
  virtual torch::Tensor Gather(absl::Span<const int64_t> indices, int epoch) const = 0;
};

// One number of several, so that neighbours, such as seed 42's image 1 and seed 43's image 0, have nothing in common:
// the finalizer of Steele, Lea and Flood's SplitMix (2014).
uint64_t MixSeeds(std::initializer_list<uint64_t> seeds) {
  uint64_t mixed = 0;
  for (const uint64_t seed : seeds) {
    mixed += seed + 0x9E3779B97F4A7C15;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    mixed ^= mixed >> 31;
  }
  return mixed;
}

class ImageInputs : public Inputs {
 public:
  ImageInputs(std::shared_ptr<const PackedImages> images, const TrainingOptions& options)
      : images_(std::move(images)), options_(options), device_(options.device) {}

  torch::Tensor Gather(absl::Span<const int64_t> indices, int epoch) const override {
    const int64_t side = images_->image_size();
    const int64_t floats = side * side * 3;
    torch::Tensor x = torch::empty({static_cast<int64_t>(indices.size()), side, side, 3});
    auto* const out = x.data_ptr<float>();
    ParallelFor(static_cast<int64_t>(indices.size()), options_.threads, [&](int64_t i) {
      const int64_t index = indices[static_cast<size_t>(i)];
      float* const pixels = out + i * floats;
      if (epoch > 0 && options_.augmentation.any()) {
        // Of the image and the epoch alone: the order and the number of threads don't matter.
        const uint64_t seed = MixSeeds({options_.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(index)});
        const auto span = absl::MakeSpan(pixels, static_cast<size_t>(floats));
        ApplyChange(DrawChange(options_.augmentation, side, seed), images_->image(index), side, span);
        internal::PreparePixels(absl::Span<const float>(span), options_.preprocessing, pixels);
      } else {
        internal::PreparePixels(images_->image(index), options_.preprocessing, pixels);
      }
    });
    return x.permute({0, 3, 1, 2}).to(device_);
  }

 private:
  std::shared_ptr<const PackedImages> images_;
  TrainingOptions options_;
  torch::Device device_;
};

class FeatureInputs : public Inputs {
 public:
  FeatureInputs(std::shared_ptr<const Features> features, torch::Device device)
      : features_(std::move(features)), device_(device) {}

  // Copies and nothing more: LibTorch's index_select would start a pool of threads for each thread that calls it.
  torch::Tensor Gather(absl::Span<const int64_t> indices, int /*epoch*/) const override {
    const int64_t dimension = features_->dimension();
    torch::Tensor x = torch::empty({static_cast<int64_t>(indices.size()), dimension});
    float* out = x.data_ptr<float>();
    for (const int64_t index : indices) {
      const float* const row = features_->values().data() + index * dimension;
      out = std::copy(row, row + dimension, out);
    }
    return x.to(device_);
  }

 private:
  std::shared_ptr<const Features> features_;
  torch::Device device_;
};

// The batches of one pass, each gathered on another thread while the network works on the one before.
class Batches {
 public:
  Batches(const Inputs& inputs, absl::Span<const int64_t> indices, size_t batch_size, int epoch)
      : inputs_(inputs), indices_(indices), batch_size_(batch_size), epoch_(epoch) {
    Prefetch();
  }

  // Indices and inputs of the next batch; none are left when the indices are empty.
  std::pair<absl::Span<const int64_t>, torch::Tensor> Next() {
    if (!next_.valid()) {
      return {};
    }
    const Clock::time_point start = Clock::now();
    torch::Tensor x = next_.get();
    waited_ += SecondsSince(start);
    const absl::Span<const int64_t> batch = indices_.subspan(at_, batch_size_);
    at_ += batch.size();
    Prefetch();
    return {batch, std::move(x)};
  }

  double waited_seconds() const { return waited_; }

 private:
  void Prefetch() {
    if (at_ < indices_.size()) {
      next_ = std::async(std::launch::async,
                         [this, batch = indices_.subspan(at_, batch_size_)] { return inputs_.Gather(batch, epoch_); });
    }
  }

  const Inputs& inputs_;
  const absl::Span<const int64_t> indices_;
  const size_t batch_size_;
  const int epoch_;
  size_t at_ = 0;
  double waited_ = 0;
  std::future<torch::Tensor> next_;
};

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
  if (options.precision == Precision::kBfloat16 && device.is_cpu() && kernels::BestIsa() != kernels::Isa::kAvx512) {
    return absl::FailedPreconditionError(
        "options.precision: bfloat16 needs a GPU or a CPU with AVX-512 and would be slower than float32 on this one; "
        "use float32");
  }
  SetTorchThreads(options.threads);

  std::unique_ptr<Inputs> inputs;
  std::array<int64_t, 3> input_shape = {options.image_size, options.image_size, 3};
  if (request.variant->trunk == nullptr) {
    GRAFT_ASSIGN_OR_RETURN(
        auto images, PackedImages::OpenOrBuild(request.dataset, manifest, options.image_size, options.interpolation,
                                               options.threads, hooks.on_progress));
    inputs = std::make_unique<ImageInputs>(std::move(images), options);
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
  const std::unique_ptr<internal::Optimizer> optimizer = internal::MakeOptimizer(network.parameters(), options);

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
    Batches batches(*inputs, train, batch_size, epoch);
    for (int step = 1; step <= steps; ++step) {
      const auto [batch, x] = batches.Next();
      network.zero_grad();
      const BatchResult result = Score(network.Forward(x, options.precision), labels_of(batch));
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
    Batches validation_batches(*inputs, validation, batch_size, 0);
    while (true) {
      const auto [batch, x] = validation_batches.Next();
      if (batch.empty()) {
        break;
      }
      const BatchResult result = Score(network.Forward(x, options.precision), labels_of(batch));
      scored.Add(result.loss.item<double>(), result.correct, static_cast<int64_t>(batch.size()));
      GRAFT_RETURN_IF_ERROR(
          hooks.on_progress({"validate", scored.images, static_cast<int64_t>(validation.size()), "images"}));
    }
    outcome.history.push_back({epoch, training.MeanLoss(), training.Accuracy(), scored.MeanLoss(), scored.Accuracy(),
                               SecondsSince(epoch_start),
                               batches.waited_seconds() + validation_batches.waited_seconds()});
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
