#include "core/heads/trainer.h"

#include <torch/torch.h>

#include <memory>
#include <utility>

#include "core/base/status.h"
#include "core/data/packed_images.h"
#include "core/heads/head.h"
#include "core/nn/runtime.h"
#include "core/train/features.h"
#include "core/train/inputs_torch.h"
#include "core/train/meter.h"
#include "core/trunks/trunk.h"

namespace graft {
namespace {

// The images, or what the variant's trunk makes of them; then the trunk's fingerprint is written.
absl::StatusOr<std::unique_ptr<Inputs>> OpenInputs(const TrainRequest& request, const TrainingOptions& options,
                                                   const ProgressFn& progress, std::string* trunk_fingerprint) {
  if (request.variant->trunk == nullptr) {
    GRAFT_ASSIGN_OR_RETURN(auto images,
                           PackedImages::OpenOrBuild(request.dataset, *request.manifest, options.image_size,
                                                     options.interpolation, options.threads, progress));
    return MakeImageInputs(std::move(images), options);
  }
  GRAFT_ASSIGN_OR_RETURN(const auto trunk,
                         Trunk::Load(request.variant->trunk->name, request.weights_dir, options.device));
  GRAFT_ASSIGN_OR_RETURN(auto features, Features::OpenOrExtract(request.dataset, *request.manifest, *trunk,
                                                                {options.preprocessing, options.interpolation,
                                                                 options.image_size, options.threads},
                                                                progress));
  *trunk_fingerprint = trunk->fingerprint();
  return MakeFeatureInputs(std::move(features), options);
}

absl::StatusOr<TrainOutcome> TrainOrThrow(const TrainRequest& request, const TrainHooks& hooks) {
  TrainOutcome outcome;
  const auto classes = static_cast<int64_t>(request.manifest->labels.size());
  GRAFT_ASSIGN_OR_RETURN(HeadPlan plan, PlanHead(*request.variant, request.options, classes));
  outcome.options = plan.options;
  const TrainingOptions& options = outcome.options;
  GRAFT_RETURN_IF_ERROR(CheckPrecision(options.precision, options.device));
  SetTorchThreads(options.threads);
  GRAFT_ASSIGN_OR_RETURN(auto inputs, OpenInputs(request, options, hooks.on_progress, &outcome.trunk_fingerprint));
  const Examples examples = MakeExamples(*request.manifest, std::move(inputs), torch::Device(options.device));
  GRAFT_ASSIGN_OR_RETURN(const auto head, MakeHead(std::move(plan), options.device));
  {
    const Stopwatch watch(&outcome.seconds);
    GRAFT_ASSIGN_OR_RETURN(outcome.history, head->Fit(examples, hooks));
  }
  GRAFT_RETURN_IF_ERROR(head->Save(WeightsFile(request.out)));
  return outcome;
}

}  // namespace

absl::StatusOr<TrainOutcome> Train(const TrainRequest& request, const TrainHooks& hooks) {
  return CatchExceptions("training", [&] { return TrainOrThrow(request, hooks); });
}

}  // namespace graft
