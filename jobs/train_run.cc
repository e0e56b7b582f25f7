#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/data/manifest.h"
#include "core/heads/trainer.h"
#include "core/model/variants.h"
#include "core/nn/runtime.h"
#include "jobs/learning_curves.h"
#include "jobs/progress.h"
#include "jobs/train.h"

namespace graft {

absl::StatusOr<nlohmann::json> RunTrain(const RunRequest& request, const JobSink& sink) {
  GRAFT_ASSIGN_OR_RETURN(const TrainJobSpec spec, TrainJobSpecFromJson(request.spec));
  TrainRequest train;
  GRAFT_ASSIGN_OR_RETURN(train.variant, FindVariant(spec.variant));
  train.options = spec.options;
  GRAFT_ASSIGN_OR_RETURN(train.options.device,
                         ResolveDevice(spec.options.device == "auto" ? request.settings.device : spec.options.device));
  train.dataset = request.data->Dataset(spec.dataset);
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(train.dataset));
  train.manifest = &manifest;
  train.weights_dir = request.weights_dir;
  train.out = request.staging;
  train.checkpoints = request.checkpoints;
  if (spec.init_from.has_value()) {
    train.init_from = WeightsFile(request.data->Model(spec.init_from->name, spec.init_from->version));
  }

  ProgressTracker tracker(sink);
  StepTracker steps(sink, train.options.batch_size);
  TrainHooks hooks;
  hooks.on_progress = [&](const ProgressUpdate& update) {
    // Validation is a part of training's bar, not a bar of its own.
    return update.phase == "validate" ? CheckStop(sink) : tracker.Update(update);
  };
  hooks.on_step = [&](const StepUpdate& update) { return steps.Update(update); };
  hooks.on_epoch = [&](const EpochMetrics& epoch) {
    sink.epoch(epoch);
    return CheckStop(sink);
  };
  hooks.finish = sink.finish;
  hooks.on_warning = [&](const std::string& text) { sink.log({text, true}); };
  GRAFT_ASSIGN_OR_RETURN(TrainOutcome outcome, Train(train, hooks));
  if (sink.finish()) {
    sink.log({absl::StrCat("the weights of epoch ", outcome.kept_epoch, " of ", outcome.history.size(),
                           " were kept, as was asked for"),
              /*warning=*/false});
  }

  ModelDescription model;
  model.name = spec.model;
  model.version = request.model_version;
  model.variant = spec.variant;
  model.labels = manifest.labels;
  model.options = outcome.options;
  model.dataset = spec.dataset;
  model.dataset_fingerprint = manifest.fingerprint;
  model.trunk_fingerprint = outcome.trunk_fingerprint;
  model.job_id = request.job_id;
  model.create_time_ms = NowMs();
  model.history = std::move(outcome.history);
  model.kept_epoch = outcome.kept_epoch;
  model.training_seconds = outcome.seconds;
  model.temperature = outcome.temperature;
  model.made_with = MadeHere();
  GRAFT_RETURN_IF_ERROR(SaveModel(model, request.staging));

  TrainJobResult result{model.name, model.version, std::nullopt, model.training_seconds};
  if (model.history.size() > 1) {
    GRAFT_ASSIGN_OR_RETURN(const std::string curves,
                           DrawLearningCurves(absl::StrCat(model.name, "@", model.version, " (", model.variant, ")"),
                                              model.history, model.kept_epoch));
    GRAFT_RETURN_IF_ERROR(WriteFileAtomic(request.staging / "learning_curves.png", curves));
  }
  if (!model.history.empty()) {
    result.kept_epoch = model.history[static_cast<size_t>(model.kept_epoch) - 1];
  }
  return ToJson(result);
}

}  // namespace graft
