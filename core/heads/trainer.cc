#include "core/heads/trainer.h"

#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/data/packed_images.h"
#include "core/eval/calibration.h"
#include "core/heads/head.h"
#include "core/nn/runtime.h"
#include "core/train/checkpoints.h"
#include "core/train/features.h"
#include "core/train/inputs_torch.h"
#include "core/train/meter.h"
#include "core/trunks/trunk.h"

namespace graft {
namespace {

// A part of a training, with options of its own, that ends with a head.
struct Stage {
  std::string name;  // of its checkpoints
  TrainingOptions options;
};

constexpr char kHeadStage[] = "head";
constexpr char kWholeStage[] = "whole";

// The head alone, on features of the whole trunk, which run once.
Stage HeadStage(const TrainingOptions& whole) {
  Stage stage{kHeadStage, whole};
  stage.options.trainable_blocks = 0;
  stage.options.augmentation = {};
  stage.options.epochs = whole.head_epochs;
  stage.options.head_epochs = 0;
  stage.options.learning_rate = whole.head_learning_rate;
  stage.options.schedule = Schedule::kConstant;
  stage.options.warmup_epochs = 0;
  stage.options.steps_per_epoch = 0;
  return stage;
}

struct StartFile {
  Safetensors file;
  bool required;
};

class Trainer {
 public:
  Trainer(const TrainRequest& request, const TrainHooks& hooks) : request_(request), hooks_(hooks) {}

  absl::StatusOr<TrainOutcome> Run() {
    const auto classes = static_cast<int64_t>(request_.manifest->labels.size());
    GRAFT_ASSIGN_OR_RETURN(const HeadPlan plan, PlanHead(*request_.variant, request_.options, classes));
    outcome_.options = plan.options;
    GRAFT_RETURN_IF_ERROR(CheckPrecision(plan.options.precision, plan.options.device));
    SetTorchThreads(plan.options.threads);
    GRAFT_ASSIGN_OR_RETURN(class_weights_, ClassWeights(plan.options.class_weights, *request_.manifest));
    if (request_.variant->trunk != nullptr) {
      GRAFT_ASSIGN_OR_RETURN(trunk_,
                             Trunk::Load(request_.variant->trunk->name, request_.weights_dir, plan.options.device));
      outcome_.trunk_fingerprint = trunk_->fingerprint();
    }
    if (!request_.checkpoints.empty()) {
      GRAFT_ASSIGN_OR_RETURN(checkpoints_, Checkpoints::Open(request_.checkpoints, request_.checkpoint_least));
    }
    GRAFT_RETURN_IF_ERROR(OpenStart());
    epochs_ = plan.options.head_epochs + plan.options.epochs;
    if (plan.options.head_epochs > 0) {
      GRAFT_RETURN_IF_ERROR(TrainHead(HeadStage(plan.options)));
    }
    GRAFT_ASSIGN_OR_RETURN(const auto head, Fit({kWholeStage, plan.options}));
    GRAFT_RETURN_IF_ERROR(head->Save(WeightsFile(request_.out)));
    return std::move(outcome_);
  }

 private:
  // What the network's weights are before anything is learnt.
  absl::Status OpenStart() {
    if (trunk_ != nullptr) {
      GRAFT_ASSIGN_OR_RETURN(Safetensors file,
                             Safetensors::Open(TrunkFile(request_.weights_dir, request_.variant->trunk->name)));
      start_.push_back({std::move(file), false});
    }
    if (!request_.init_from.empty()) {
      GRAFT_ASSIGN_OR_RETURN(Safetensors file, Safetensors::OpenSealed(request_.init_from));
      start_.push_back({std::move(file), true});
    }
    return absl::OkStatus();
  }

  // Leaves its weights as a start for what comes next.
  absl::Status TrainHead(const Stage& stage) {
    GRAFT_ASSIGN_OR_RETURN(const auto head, Fit(stage));
    const std::filesystem::path file = request_.out / "head.safetensors";
    GRAFT_RETURN_IF_ERROR(head->Save(file));
    GRAFT_ASSIGN_OR_RETURN(Safetensors weights, Safetensors::OpenSealed(file));
    start_.push_back({std::move(weights), false});
    std::filesystem::remove(file);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Head>> Fit(const Stage& stage) {
    const auto classes = static_cast<int64_t>(request_.manifest->labels.size());
    GRAFT_ASSIGN_OR_RETURN(HeadPlan plan, PlanHead(*request_.variant, stage.options, classes));
    GRAFT_ASSIGN_OR_RETURN(const Examples examples, OpenExamples(stage.options));
    GRAFT_ASSIGN_OR_RETURN(auto head, MakeHead(std::move(plan), stage.options.device));
    const int before = static_cast<int>(outcome_.history.size());
    const std::string stage_name = stage.name == kWholeStage ? "" : stage.name;
    TrainHooks hooks = hooks_;
    hooks.on_step = [&](StepUpdate update) {
      update.stage = stage_name;
      update.epoch += before;
      update.epochs = epochs_;
      return hooks_.on_step(update);
    };
    bool told = before > 0;
    hooks.on_epoch = [&](EpochMetrics epoch) {
      told = true;
      epoch.epoch += before;
      epoch.stage = stage_name;
      return hooks_.on_epoch(epoch);
    };
    hooks.finish = [&] { return told && hooks_.finish && hooks_.finish(); };
    std::vector<Start> start;
    start.reserve(start_.size());
    for (const StartFile& from : start_) {
      start.push_back({&from.file, from.required});
    }
    double seconds = 0;
    FitResult fitted;
    {
      const Stopwatch watch(&seconds);
      GRAFT_ASSIGN_OR_RETURN(
          fitted, head->Fit({examples, hooks, start, checkpoints_.has_value() ? &*checkpoints_ : nullptr, stage.name,
                             stage.name != kWholeStage}));
    }
    if (fitted.history.empty()) {
      outcome_.seconds += seconds;
    }
    outcome_.options.svm_c = fitted.svm_c.value_or(outcome_.options.svm_c);
    for (EpochMetrics epoch : fitted.history) {
      outcome_.seconds += epoch.seconds;  // not the clock's: an interrupted training has been at it before
      epoch.epoch += before;
      epoch.stage = stage_name;
      outcome_.history.push_back(std::move(epoch));
    }
    if (!fitted.history.empty()) {
      outcome_.kept_epoch = before + fitted.kept_epoch;
    }
    if (outcome_.history.empty()) {
      outcome_.history.push_back(ScoreOnce(*head, examples, seconds));
      outcome_.kept_epoch = 1;
      GRAFT_RETURN_IF_ERROR(hooks_.on_epoch(outcome_.history.back()));
    }
    if (stage.options.temperature_scaling && stage.name == kWholeStage) {
      outcome_.temperature = TemperatureOf(*head, examples);
    }
    return head;
  }

  // Calls see(probabilities, labels), both on the CPU, with what the head says of the rows, batch by batch.
  static void Judge(const Head& head, const Examples& examples, absl::Span<const int64_t> rows, double* waited,
                    const std::function<void(const torch::Tensor&, const torch::Tensor&)>& see) {
    constexpr size_t kBatch = 64;
    const torch::NoGradGuard no_grad;
    Batches batches(*examples.inputs, rows, kBatch, 0, waited);
    for (;;) {
      const auto [batch, x] = batches.Next();
      if (batch.empty()) {
        return;
      }
      see(head.Predict(examples.Prepare(x)), examples.Labels(batch).cpu());
    }
  }

  static double TemperatureOf(const Head& head, const Examples& examples) {
    std::vector<int> truth;
    std::vector<float> probabilities;
    int64_t classes = 0;
    double waited = 0;
    Judge(head, examples, examples.validation, &waited, [&](const torch::Tensor& said, const torch::Tensor& labels) {
      const torch::Tensor rows = said.contiguous();
      classes = rows.size(1);
      probabilities.insert(probabilities.end(), rows.const_data_ptr<float>(),
                           rows.const_data_ptr<float>() + rows.numel());
      for (int64_t i = 0; i < labels.numel(); ++i) {
        truth.push_back(static_cast<int>(labels.const_data_ptr<int64_t>()[i]));
      }
    });
    return FitTemperature(truth, probabilities, static_cast<size_t>(classes));
  }

  // A head that learns all at once has one epoch.
  static EpochMetrics ScoreOnce(const Head& head, const Examples& examples, double seconds) {
    EpochMetrics epoch;
    epoch.epoch = 1;
    const auto score = [&](absl::Span<const int64_t> rows, double* loss, double* accuracy) {
      Meter meter;
      Judge(head, examples, rows, &epoch.input_wait_seconds,
            [&](const torch::Tensor& said, const torch::Tensor& labels) {
              const torch::Tensor probabilities = said.clamp_min(1e-7);
              meter.Add(torch::nll_loss(probabilities.log(), labels).item<double>(),
                        probabilities.argmax(1).eq(labels).sum().item<double>(), labels.numel());
            });
      *loss = meter.MeanLoss();
      *accuracy = meter.Accuracy();
    };
    score(examples.train, &epoch.loss, &epoch.accuracy);
    score(examples.validation, &epoch.validation_loss, &epoch.validation_accuracy);
    epoch.seconds = seconds;
    return epoch;
  }

  // The images, or what the trunk makes of them where it runs once per image.
  absl::StatusOr<Examples> OpenExamples(const TrainingOptions& options) {
    const Variant& variant = *request_.variant;
    const int frozen = FrozenBlocks(variant, options);
    std::unique_ptr<Inputs> inputs;
    const bool whole_trunk = trunk_ != nullptr && frozen == static_cast<int>(variant.trunk->blocks.size());
    const bool mirrored = options.augmentation.only_flip();
    const bool features = whole_trunk && (mirrored || !options.augmentation.any());
    const TrainingOptions treatment = TreatmentOf(variant, options);
    std::shared_ptr<const Features> of_mirrored;
    if (features) {
      FeatureOptions wanted = {options.preprocessing, options.interpolation, options.image_size, options.threads};
      GRAFT_ASSIGN_OR_RETURN(auto made, Features::OpenOrExtract(request_.dataset, *request_.manifest, *trunk_, wanted,
                                                                hooks_.on_progress));
      if (mirrored) {
        wanted.mirrored = true;
        GRAFT_ASSIGN_OR_RETURN(of_mirrored, Features::OpenOrExtract(request_.dataset, *request_.manifest, *trunk_,
                                                                    wanted, hooks_.on_progress));
      }
      inputs = MakeFeatureInputs(std::move(made), of_mirrored, treatment);
    } else {
      GRAFT_ASSIGN_OR_RETURN(auto images,
                             PackedImages::OpenOrBuild(request_.dataset, *request_.manifest, options.image_size,
                                                       options.interpolation, options.threads, hooks_.on_progress));
      inputs = MakeImageInputs(std::move(images), options);
    }
    Examples examples = MakeExamples(*request_.manifest, std::move(inputs), torch::Device(options.device));
    examples.class_weights = class_weights_;
    examples.most_kept_bytes = request_.most_kept_bytes;
    if (of_mirrored != nullptr) {
      examples.mirrored = MakeFeatureInputs(std::move(of_mirrored), nullptr, treatment);
    }
    if (!features) {
      examples.trunk = trunk_;
      examples.frozen_blocks = frozen;
    }
    return examples;
  }

  const TrainRequest& request_;
  const TrainHooks& hooks_;
  TrainOutcome outcome_;
  std::shared_ptr<const Trunk> trunk_;
  std::vector<double> class_weights_;
  std::vector<StartFile> start_;
  std::optional<Checkpoints> checkpoints_;
  int epochs_ = 0;  // of all stages
};

}  // namespace

absl::StatusOr<TrainOutcome> Train(const TrainRequest& request, const TrainHooks& hooks) {
  return CatchExceptions("training", [&] { return Trainer(request, hooks).Run(); });
}

}  // namespace graft
