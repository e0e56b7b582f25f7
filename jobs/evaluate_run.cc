#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/infer/evaluate.h"
#include "core/infer/predictor.h"
#include "core/nn/runtime.h"
#include "core/store/evaluation.h"
#include "core/viz/charts.h"
#include "jobs/evaluate.h"
#include "jobs/progress.h"
#include "jobs/thumbnail.h"

namespace graft {
namespace {

// The first of `wrong`, with their photographs from the part's folder.
std::vector<Mistake> WorstMistakes(const Predictions& predictions, const std::vector<size_t>& wrong,
                                   const std::filesystem::path& folder) {
  std::vector<Mistake> mistakes;
  for (size_t i = 0; i < std::min(kMostMistakes, wrong.size()); ++i) {
    const size_t image = wrong[i];
    Mistake mistake;
    mistake.file = predictions.files[image];
    mistake.truth = predictions.labels[static_cast<size_t>(predictions.truth[image])];
    mistake.predicted = predictions.labels[static_cast<size_t>(predictions.predicted(image))];
    mistake.probability = predictions.confidence(image);
    mistake.truth_probability = predictions.row(image)[static_cast<size_t>(predictions.truth[image])];
    AddPhotograph(folder, &mistake);
    mistakes.push_back(std::move(mistake));
  }
  return mistakes;
}

}  // namespace

absl::StatusOr<nlohmann::json> RunEvaluate(const RunRequest& request, const JobSink& sink) {
  GRAFT_ASSIGN_OR_RETURN(const EvaluateJobSpec spec, EvaluateJobSpecFromJson(request.spec));
  const std::filesystem::path dataset = request.data->Dataset(spec.dataset);
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(dataset));
  GRAFT_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(request.settings.device));
  SetTorchThreads(request.settings.threads);
  GRAFT_ASSIGN_OR_RETURN(
      const auto model,
      Predictor::Load(
          request.data->Model(spec.model, spec.version),
          [&](absl::string_view name) { return Trunk::Load(name, request.weights_dir, device); }, device));
  ProgressTracker tracker(sink);
  Evaluation evaluation;
  evaluation.model = spec.model;
  evaluation.version = spec.version;
  evaluation.dataset = spec.dataset;
  evaluation.dataset_fingerprint = manifest.fingerprint;
  evaluation.part = spec.part;
  evaluation.job_id = request.job_id;
  evaluation.threads = request.settings.threads;
  GRAFT_ASSIGN_OR_RETURN(const Predictions predictions,
                         PredictPart(*model, dataset, manifest, spec.part, request.settings.threads, tracker.Fn()));
  GRAFT_ASSIGN_OR_RETURN(evaluation.report, Evaluate(predictions.truth, predictions.probabilities, predictions.labels));
  GRAFT_ASSIGN_OR_RETURN(evaluation.milliseconds_per_image, MillisecondsPerImage(*model, tracker.Fn()));

  GRAFT_RETURN_IF_ERROR(SavePredictions(predictions, request.staging));
  const std::string title =
      absl::StrCat(spec.model, "@", spec.version, " on ", spec.dataset, " (", PartName(spec.part), ")");
  const auto write = [&](const char* name, const absl::StatusOr<std::string>& picture) {
    return picture.ok() ? WriteFileAtomic(request.staging / name, *picture) : picture.status();
  };
  GRAFT_RETURN_IF_ERROR(write("confusion_matrix.png", ConfusionMatrix(title, evaluation.report)));
  GRAFT_RETURN_IF_ERROR(write("roc.png", RocCurves(title, evaluation.report)));
  GRAFT_RETURN_IF_ERROR(write("precision_recall.png", PrecisionRecallCurves(title, evaluation.report)));
  GRAFT_RETURN_IF_ERROR(write("reliability.png", ReliabilityDiagram(title, evaluation.report)));
  const std::vector<size_t> wrong = predictions.Mistakes();
  GRAFT_RETURN_IF_ERROR(
      write("mistakes.png",
            MistakeSheet(title, WorstMistakes(predictions, wrong, dataset / std::string(PartFolder(spec.part))),
                         static_cast<int64_t>(wrong.size()), evaluation.report.images)));
  GRAFT_RETURN_IF_ERROR(SaveEvaluation(evaluation, request.staging));
  // The report has them; the job's log needn't.
  evaluation.report.roc.clear();
  evaluation.report.precision_recall.clear();
  return ToJson(evaluation);
}

}  // namespace graft
