#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/data/manifest.h"
#include "core/infer/out_of_fold.h"
#include "core/model/variants.h"
#include "core/nn/runtime.h"
#include "core/trunks/trunk.h"
#include "jobs/checks.h"
#include "jobs/progress.h"
#include "jobs/recommend.h"

namespace graft {
namespace {

// Seconds that so many images at once take, the least of a few tries. What they show makes no difference.
absl::StatusOr<double> Time(const Trunk& trunk, const TrainingOptions& options, int64_t images, int tries) {
  const auto side = static_cast<size_t>(options.image_size);
  std::vector<uint8_t> pixels(static_cast<size_t>(images) * side * side * 3);
  for (size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<uint8_t>(i * 2'654'435'761U >> 24);
  }
  std::vector<float> features(static_cast<size_t>(images * trunk.dimension(options.image_size)));
  double least = 0;
  for (int i = 0; i < tries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    GRAFT_RETURN_IF_ERROR(
        trunk.Extract(pixels, images, options.image_size, options.preprocessing, absl::MakeSpan(features)));
    const double seconds = SecondsSince(start);
    least = i == 0 ? seconds : std::min(least, seconds);
  }
  return least;
}

absl::StatusOr<TrunkCandidate> Try(const RunRequest& request, const RecommendJobSpec& spec, const Manifest& manifest,
                                   const std::string& name, const ProgressFn& progress) {
  constexpr int64_t kBatch = 16;
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindFeaturesVariant(name));
  TrainingOptions options = variant->recommended;
  options.preprocessing = ResolvePreprocessing(options.preprocessing, variant->trunk);
  options.seed = spec.seed;
  options.threads = request.settings.threads;
  GRAFT_ASSIGN_OR_RETURN(options.device, ResolveDevice(request.settings.device));
  SetTorchThreads(options.threads);
  GRAFT_ASSIGN_OR_RETURN(const auto trunk, Trunk::Load(name, request.weights_dir, options.device));
  TrunkCandidate candidate;
  candidate.trunk = name;
  candidate.variant = variant->name;
  // The first run transforms the weights.
  GRAFT_ASSIGN_OR_RETURN(const double one, Time(*trunk, options, 1, 6));
  candidate.milliseconds = 1000 * one;
  GRAFT_ASSIGN_OR_RETURN(const double batch, Time(*trunk, options, kBatch, 2));
  candidate.seconds = batch / kBatch * static_cast<double>(manifest.entries.size());
  candidate.over_budget = spec.budget_seconds > 0 && candidate.seconds > spec.budget_seconds;
  if (candidate.over_budget) {
    return candidate;
  }
  GRAFT_ASSIGN_OR_RETURN(const Predictions predictions,
                         PredictTrainingPart(*variant, options, spec.folds, *trunk, request.data->Dataset(spec.dataset),
                                             manifest, progress));
  const auto images = static_cast<int64_t>(predictions.truth.size());
  int64_t right = 0;
  for (size_t i = 0; i < predictions.truth.size(); ++i) {
    right += predictions.right(i) ? 1 : 0;
  }
  candidate.accuracy = static_cast<double>(right) / static_cast<double>(images);
  candidate.interval = WilsonInterval(right, images);
  return candidate;
}

}  // namespace

absl::StatusOr<nlohmann::json> RunRecommend(const RunRequest& request, const JobSink& sink) {
  GRAFT_ASSIGN_OR_RETURN(const RecommendJobSpec spec, RecommendJobSpecFromJson(request.spec));
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(request.data->Dataset(spec.dataset)));
  RecommendJobResult result;
  result.job_id = request.job_id;
  result.dataset = spec.dataset;
  result.images = manifest.Count(Part::kTrain);
  for (const std::string& name : spec.trunks) {
    ProgressTracker tracker(sink);
    GRAFT_ASSIGN_OR_RETURN(TrunkCandidate candidate, Try(request, spec, manifest, name, tracker.Fn()));
    sink.log(
        {candidate.over_budget
             ? absl::StrFormat("%s would take %.0f s, more than the budget; it is left out", name, candidate.seconds)
             : absl::StrFormat("%s: accuracy %.4f, %.1f ms an image", name, candidate.accuracy, candidate.milliseconds),
         /*warning=*/false});
    result.candidates.push_back(std::move(candidate));
    GRAFT_RETURN_IF_ERROR(CheckStop(sink));
  }
  const TrunkCandidate* const chosen = Choose(result.images, &result.candidates);
  if (chosen == nullptr) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "recommend.budget_seconds: %g s are too few for any of these trunks; the quickest needs about %.0f s",
        spec.budget_seconds,
        std::min_element(result.candidates.begin(), result.candidates.end(),
                         [](const TrunkCandidate& a, const TrunkCandidate& b) { return a.seconds < b.seconds; })
            ->seconds));
  }
  result.variant = chosen->variant;
  return ToJson(result);
}

}  // namespace graft
