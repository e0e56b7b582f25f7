#include "worker/job_runner.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/data/split.h"
#include "core/eval/report.h"
#include "core/heads/trainer.h"
#include "core/infer/evaluate.h"
#include "core/infer/predictor.h"
#include "core/model/artifact.h"
#include "core/nn/runtime.h"
#include "core/train/features.h"
#include "core/viz/charts.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Adds rate and remaining time to core's updates and passes them on.
class ProgressTracker {
 public:
  explicit ProgressTracker(const JobSink& sink) : sink_(sink) {}

  absl::Status Update(const ProgressUpdate& update) {
    if (update.phase != phase_ || update.done < done_) {
      phase_ = std::string(update.phase);
      start_ = last_;  // the first update comes after the phase's first piece of work
    }
    done_ = update.done;
    last_ = Clock::now();
    v1::Progress progress;
    progress.set_phase(phase_);
    progress.set_done(update.done);
    progress.set_total(update.total);
    progress.set_unit(std::string(update.unit));
    const double elapsed = SecondsSince(start_);
    if (elapsed > 0 && update.done > 0) {
      const double rate = static_cast<double>(update.done) / elapsed;
      progress.set_images_per_second(rate);
      if (update.total > update.done) {
        progress.set_eta_seconds(static_cast<double>(update.total - update.done) / rate);
      }
    }
    sink_.progress(progress);
    return CheckStop();
  }

  absl::Status CheckStop() const {
    return sink_.stopped() ? absl::CancelledError("the job was asked to stop") : absl::OkStatus();
  }

  ProgressFn Fn() {
    return [this](const ProgressUpdate& update) { return Update(update); };
  }

 private:
  const JobSink& sink_;
  std::string phase_;
  int64_t done_ = 0;
  Clock::time_point last_ = Clock::now();
  Clock::time_point start_ = last_;
};

struct Context {
  const std::string& job_id;
  const v1::Assignment& assignment;
  const JobSink& sink;
  ProgressTracker tracker;

  fs::path data() const { return assignment.data_dir(); }
  fs::path staging() const { return assignment.staging_dir(); }
  fs::path Dataset(const std::string& name) const { return data() / "datasets" / name; }
};

absl::StatusOr<v1::JobResult> RunSplit(Context& context) {
  const v1::SplitSpec& spec = context.assignment.spec().split();
  GRAFT_ASSIGN_OR_RETURN(SplitOptions options, FromProto(spec));
  options.threads = context.assignment.threads();
  const fs::path source =
      spec.has_upload_id() ? context.data() / "uploads" / spec.upload_id() : fs::path(spec.folder());
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest,
                         SplitFolder(source, context.staging(), options, context.tracker.Fn()));
  constexpr size_t kNamed = 20;
  for (size_t i = 0; i < manifest.skipped.size() && i < kNamed; ++i) {
    context.sink.log(absl::StrCat("skipped ", manifest.skipped[i].path, ": ", manifest.skipped[i].reason), true);
  }
  if (manifest.skipped.size() > kNamed) {
    context.sink.log(absl::StrCat("skipped ", manifest.skipped.size() - kNamed, " more; the data set lists them"),
                     true);
  }
  v1::Dataset dataset = ToProto(manifest, spec.dataset());
  *dataset.mutable_create_time() = ToTimestamp(NowMs());
  *dataset.mutable_spec() = spec;
  GRAFT_RETURN_IF_ERROR(WriteSealedJson(context.staging() / "dataset.json", MessageToJson(dataset)));
  v1::JobResult result;
  result.mutable_split()->set_dataset(spec.dataset());
  result.mutable_split()->set_images(static_cast<int64_t>(manifest.entries.size()));
  result.mutable_split()->set_skipped(static_cast<int64_t>(manifest.skipped.size()));
  return result;
}

absl::StatusOr<v1::JobResult> RunTrain(Context& context) {
  const v1::TrainSpec& spec = context.assignment.spec().train();
  TrainRequest request;
  GRAFT_ASSIGN_OR_RETURN(request.variant, FindVariant(spec.variant()));
  GRAFT_ASSIGN_OR_RETURN(request.options, FromProto(spec.options(), request.variant->defaults));
  if (request.options.threads == 0) {
    request.options.threads = context.assignment.threads();
  }
  if (request.options.device == "auto") {
    request.options.device = context.assignment.device();
  }
  GRAFT_ASSIGN_OR_RETURN(request.options.device, ResolveDevice(request.options.device));
  request.dataset = context.Dataset(spec.dataset());
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(request.dataset));
  request.manifest = &manifest;
  request.weights_dir = context.assignment.weights_dir();
  request.out = context.staging();

  const Clock::time_point not_started;
  Clock::time_point training_start = not_started;
  Clock::time_point epoch_start = not_started;
  TrainHooks hooks;
  hooks.on_progress = [&](const ProgressUpdate& update) {
    // Validation is a part of training's bar, not a bar of its own.
    return update.phase == "validate" ? context.tracker.CheckStop() : context.tracker.Update(update);
  };
  hooks.on_step = [&](const StepUpdate& update) {
    if (training_start == not_started) {
      training_start = Clock::now();
    }
    if (update.step == 1) {
      epoch_start = Clock::now();
    }
    v1::Progress progress;
    progress.set_phase("train");
    progress.set_unit("steps");
    progress.set_done(update.step);
    progress.set_total(update.steps);
    progress.set_epoch(update.epoch);
    progress.set_epochs(request.options.epochs);
    // The first step is left out: its start isn't known here.
    const double epoch_seconds = SecondsSince(epoch_start);
    if (update.step > 1 && epoch_seconds > 0) {
      progress.set_images_per_second(static_cast<double>(update.step - 1) * request.options.batch_size / epoch_seconds);
    }
    const int64_t done = int64_t{update.epoch - 1} * update.steps + update.step;
    const int64_t all = int64_t{request.options.epochs} * update.steps;
    if (done > 1) {
      progress.set_eta_seconds(SecondsSince(training_start) / static_cast<double>(done - 1) *
                               static_cast<double>(all - done));
    }
    v1::StepMetrics* step = progress.add_steps();
    step->set_step(update.step);
    step->set_loss(update.loss);
    step->set_accuracy(update.accuracy);
    context.sink.progress(progress);
    return context.tracker.CheckStop();
  };
  hooks.on_epoch = [&](const EpochMetrics& epoch) {
    context.sink.epoch(ToProto(epoch));
    return context.tracker.CheckStop();
  };
  GRAFT_ASSIGN_OR_RETURN(const TrainOutcome outcome, Train(request, hooks));

  ModelDescription model;
  model.name = spec.model();
  model.version = context.assignment.model_version();
  model.variant = spec.variant();
  model.labels = manifest.labels;
  model.options = outcome.options;
  model.dataset = spec.dataset();
  model.dataset_fingerprint = manifest.fingerprint;
  model.trunk_fingerprint = outcome.trunk_fingerprint;
  model.job_id = context.job_id;
  model.create_time_ms = NowMs();
  model.history = outcome.history;
  model.training_seconds = outcome.seconds;
  GRAFT_RETURN_IF_ERROR(SaveModel(model, context.staging()));

  std::vector<EpochPoint> points;
  for (const EpochMetrics& epoch : outcome.history) {
    points.push_back({epoch.epoch, epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy});
  }
  if (!points.empty()) {
    GRAFT_ASSIGN_OR_RETURN(
        const std::string curves,
        LearningCurves(absl::StrCat(model.name, "@", model.version, " (", model.variant, ")"), points));
    GRAFT_RETURN_IF_ERROR(WriteFileAtomic(context.staging() / "learning_curves.png", curves));
  }

  v1::JobResult result;
  v1::TrainResult* train = result.mutable_train();
  train->set_model(model.name);
  train->set_version(model.version);
  if (const EpochMetrics* last = outcome.last_epoch(); last != nullptr) {
    *train->mutable_last_epoch() = ToProto(*last);
  }
  train->set_seconds(outcome.seconds);
  return result;
}

absl::StatusOr<v1::JobResult> RunExtractFeatures(Context& context) {
  const v1::ExtractFeaturesSpec& spec = context.assignment.spec().extract_features();
  const fs::path dataset = context.Dataset(spec.dataset());
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(dataset));
  FeatureOptions options;
  GRAFT_ASSIGN_OR_RETURN(options.preprocessing, FromProto(spec.preprocessing()));
  GRAFT_ASSIGN_OR_RETURN(options.interpolation, FromProto(spec.interpolation()));
  options.image_size = spec.image_size();
  options.threads = context.assignment.threads();
  GRAFT_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(context.assignment.device()));
  SetTorchThreads(context.assignment.threads());
  GRAFT_ASSIGN_OR_RETURN(const auto trunk, Trunk::Load(spec.trunk(), context.assignment.weights_dir(), device));
  const Clock::time_point start = Clock::now();
  GRAFT_ASSIGN_OR_RETURN(const auto features,
                         Features::OpenOrExtract(dataset, manifest, *trunk, options, context.tracker.Fn()));
  v1::JobResult result;
  v1::ExtractFeaturesResult* extracted = result.mutable_extract_features();
  extracted->set_images(features->size());
  extracted->set_dimension(features->dimension());
  extracted->set_cached(features->cached());
  extracted->set_seconds(SecondsSince(start));
  return result;
}

absl::StatusOr<v1::JobResult> RunEvaluate(Context& context) {
  const v1::EvaluateSpec& spec = context.assignment.spec().evaluate();
  const fs::path dataset = context.Dataset(spec.dataset());
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(dataset));
  GRAFT_ASSIGN_OR_RETURN(const Part part, FromProto(spec.part()));
  GRAFT_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(context.assignment.device()));
  SetTorchThreads(context.assignment.threads());
  GRAFT_ASSIGN_OR_RETURN(
      const auto model,
      Predictor::Load(
          context.data() / "models" / spec.model() / absl::StrCat(spec.version()),
          [&](absl::string_view name) { return Trunk::Load(name, context.assignment.weights_dir(), device); }, device));
  GRAFT_ASSIGN_OR_RETURN(
      const EvaluationReport report,
      EvaluateModel(*model, dataset, manifest, part, context.assignment.threads(), context.tracker.Fn()));
  const std::string title =
      absl::StrCat(spec.model(), "@", spec.version(), " on ", spec.dataset(), " (", PartName(part), ")");
  GRAFT_ASSIGN_OR_RETURN(const std::string confusion, ConfusionMatrix(title, report));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomic(context.staging() / "confusion_matrix.png", confusion));
  GRAFT_ASSIGN_OR_RETURN(const std::string roc, RocCurves(title, report));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomic(context.staging() / "roc.png", roc));

  v1::JobResult result;
  v1::EvaluateResult* evaluated = result.mutable_evaluate();
  evaluated->set_model(spec.model());
  evaluated->set_version(spec.version());
  evaluated->set_dataset(spec.dataset());
  evaluated->set_part(ToProto(part));
  *evaluated->mutable_report() = ToProto(report);
  GRAFT_RETURN_IF_ERROR(
      WriteSealedJson(context.staging() / "report.json", {{"evaluation", MessageToJson(*evaluated)},
                                                          {"report", ToJson(report)},
                                                          {"dataset_fingerprint", manifest.fingerprint}}));
  return result;
}

}  // namespace

absl::StatusOr<v1::JobResult> RunJob(const std::string& job_id, const v1::Assignment& assignment, const JobSink& sink) {
  GRAFT_RETURN_IF_ERROR(SetConvolutionAlgorithm(assignment.convolution(), Purpose::kJob));
  Context context{job_id, assignment, sink, ProgressTracker(sink)};
  switch (assignment.spec().kind_case()) {
    case v1::JobSpec::kSplit:
      return RunSplit(context);
    case v1::JobSpec::kTrain:
      return RunTrain(context);
    case v1::JobSpec::kExtractFeatures:
      return RunExtractFeatures(context);
    case v1::JobSpec::kEvaluate:
      return RunEvaluate(context);
    case v1::JobSpec::KIND_NOT_SET:
      break;
  }
  return absl::UnimplementedError("this graft-worker doesn't know the job's kind; is it older than graftd?");
}

}  // namespace graft
