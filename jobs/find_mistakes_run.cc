#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/eval/label_errors.h"
#include "core/infer/out_of_fold.h"
#include "core/model/variants.h"
#include "core/nn/runtime.h"
#include "core/viz/charts.h"
#include "jobs/checks.h"
#include "jobs/find_mistakes.h"
#include "jobs/progress.h"
#include "jobs/thumbnail.h"

namespace graft {
namespace {

// What is said of the images, without the model and job that asked.
LabelMistakes Describe(const Predictions& predictions, const LabelErrors& errors) {
  LabelMistakes mistakes;
  mistakes.images = static_cast<int64_t>(predictions.files.size());
  mistakes.suspected = static_cast<int64_t>(errors.errors.size());
  for (size_t c = 0; c < predictions.labels.size(); ++c) {
    mistakes.classes.push_back({.label = predictions.labels[c], .threshold = errors.thresholds[c]});
  }
  int64_t right = 0;
  for (size_t i = 0; i < predictions.truth.size(); ++i) {
    ++mistakes.classes[static_cast<size_t>(predictions.truth[i])].images;
    right += predictions.right(i) ? 1 : 0;
  }
  mistakes.accuracy = static_cast<double>(right) / static_cast<double>(mistakes.images);
  for (const LabelError& error : errors.errors) {
    const auto label = static_cast<size_t>(error.label);
    ++mistakes.classes[label].suspected;
    if (mistakes.mistakes.size() < kMostListedMistakes) {
      mistakes.mistakes.push_back({predictions.files[error.image], predictions.labels[label],
                                   predictions.labels[static_cast<size_t>(error.suggested)], error.probability,
                                   error.suggested_probability});
    }
  }
  return mistakes;
}

absl::StatusOr<std::string> Picture(const LabelMistakes& mistakes, const std::filesystem::path& folder) {
  std::vector<Mistake> shown;
  for (const LabelMistake& of : mistakes.mistakes) {
    if (shown.size() == kMostSuspects) {
      break;
    }
    Mistake mistake;
    mistake.file = of.file;
    mistake.truth = of.label;
    mistake.predicted = of.suggested;
    mistake.probability = of.suggested_probability;
    mistake.truth_probability = of.probability;
    AddPhotograph(folder, &mistake);
    shown.push_back(std::move(mistake));
  }
  const std::string title =
      absl::StrCat(mistakes.model, "@", mistakes.version, " on ", mistakes.dataset, " (", PartName(Part::kTrain), ")");
  return SuspectSheet(title, shown, mistakes.suspected, mistakes.images);
}

}  // namespace

absl::StatusOr<nlohmann::json> RunFindMistakes(const RunRequest& request, const JobSink& sink) {
  GRAFT_ASSIGN_OR_RETURN(const FindMistakesJobSpec spec, FindMistakesJobSpecFromJson(request.spec));
  const std::filesystem::path dataset = request.data->Dataset(spec.dataset);
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(dataset));
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindFeaturesVariant(spec.judge.trunk));
  TrainingOptions options = variant->recommended;
  options.preprocessing = spec.judge.preprocessing;
  options.interpolation = spec.judge.interpolation;
  options.image_size = spec.judge.image_size;
  options.seed = spec.judge.seed;
  options.svm_c = 1;  // where labels are wrong, what fits them best is no measure of strength
  options.threads = request.settings.threads;
  GRAFT_ASSIGN_OR_RETURN(options.device, ResolveDevice(request.settings.device));
  SetTorchThreads(options.threads);
  GRAFT_ASSIGN_OR_RETURN(const auto trunk, Trunk::Load(spec.judge.trunk, request.weights_dir, options.device));
  ProgressTracker tracker(sink);
  GRAFT_ASSIGN_OR_RETURN(const Predictions predictions, PredictTrainingPart(*variant, options, spec.judge.folds, *trunk,
                                                                            dataset, manifest, tracker.Fn()));
  GRAFT_ASSIGN_OR_RETURN(const LabelErrors errors,
                         FindLabelErrors(predictions.truth, predictions.probabilities, predictions.labels.size()));
  LabelMistakes mistakes = Describe(predictions, errors);
  mistakes.model = spec.model;
  mistakes.version = spec.version;
  mistakes.dataset = spec.dataset;
  mistakes.dataset_fingerprint = manifest.fingerprint;
  mistakes.job_id = request.job_id;
  mistakes.judge = spec.judge;
  GRAFT_RETURN_IF_ERROR(CheckStop(sink));
  GRAFT_ASSIGN_OR_RETURN(const std::string picture, Picture(mistakes, dataset / std::string(PartFolder(Part::kTrain))));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomic(request.staging / kMistakesPicture, picture));
  GRAFT_RETURN_IF_ERROR(SaveLabelMistakes(mistakes, request.staging));
  // The file has them; the job's log needn't.
  mistakes.mistakes.clear();
  return ToJson(mistakes);
}

}  // namespace graft
