#include <utility>

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

namespace graft {

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
  GRAFT_ASSIGN_OR_RETURN(evaluation.report,
                         EvaluateModel(*model, dataset, manifest, spec.part, request.settings.threads, tracker.Fn()));

  const std::string title =
      absl::StrCat(spec.model, "@", spec.version, " on ", spec.dataset, " (", PartName(spec.part), ")");
  GRAFT_ASSIGN_OR_RETURN(const std::string confusion, ConfusionMatrix(title, evaluation.report));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomic(request.staging / "confusion_matrix.png", confusion));
  GRAFT_ASSIGN_OR_RETURN(const std::string roc, RocCurves(title, evaluation.report));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomic(request.staging / "roc.png", roc));
  GRAFT_RETURN_IF_ERROR(SaveEvaluation(evaluation, request.staging));
  evaluation.report.roc.clear();  // the report has them; the job's log needn't
  return ToJson(evaluation);
}

}  // namespace graft
