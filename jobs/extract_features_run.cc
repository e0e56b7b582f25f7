#include "core/base/status.h"
#include "core/data/manifest.h"
#include "core/nn/runtime.h"
#include "core/train/features.h"
#include "core/trunks/trunk.h"
#include "jobs/extract_features.h"
#include "jobs/progress.h"

namespace graft {

absl::StatusOr<nlohmann::json> RunExtractFeatures(const RunRequest& request, const JobSink& sink) {
  GRAFT_ASSIGN_OR_RETURN(const ExtractFeaturesJobSpec spec, ExtractFeaturesJobSpecFromJson(request.spec));
  const std::filesystem::path dataset = request.data->Dataset(spec.dataset);
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(dataset));
  FeatureOptions options;
  options.preprocessing = spec.preprocessing;
  options.interpolation = spec.interpolation;
  options.image_size = spec.image_size;
  options.threads = request.settings.threads;
  GRAFT_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(request.settings.device));
  SetTorchThreads(request.settings.threads);
  GRAFT_ASSIGN_OR_RETURN(const auto trunk, Trunk::Load(spec.trunk, request.weights_dir, device));
  ProgressTracker tracker(sink);
  const auto start = std::chrono::steady_clock::now();
  GRAFT_ASSIGN_OR_RETURN(const auto features,
                         Features::OpenOrExtract(dataset, manifest, *trunk, options, tracker.Fn()));
  return ToJson(
      ExtractFeaturesJobResult{features->size(), features->dimension(), features->cached(), SecondsSince(start)});
}

}  // namespace graft
