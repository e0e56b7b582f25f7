#include "absl/strings/str_cat.h"
#include "core/base/dir.h"
#include "core/base/status.h"
#include "core/data/quality.h"
#include "core/data/split.h"
#include "jobs/progress.h"
#include "jobs/split.h"

namespace graft {

absl::StatusOr<nlohmann::json> RunSplit(const RunRequest& request, const JobSink& sink) {
  GRAFT_ASSIGN_OR_RETURN(const SplitJobSpec spec, SplitJobSpecFromJson(request.spec));
  SplitOptions options;
  options.label_rule = spec.recipe.label_rule;
  options.sizes = spec.recipe.sizes;
  options.seed = spec.recipe.seed;
  options.hard_link = spec.recipe.hard_link;
  options.threads = request.settings.threads;
  // Held to the allowed folder again: what is below it may have become a link out of it since the job was submitted.
  const auto* const folder = std::get_if<AllowedFolder>(&spec.recipe.source);
  GRAFT_ASSIGN_OR_RETURN(const SourceFolder source,
                         folder != nullptr ? SourceFolder::Open(folder->root, folder->relative)
                                           : SourceFolder::Open(request.data->Upload(spec.recipe.upload_id())));
  ProgressTracker tracker(sink);
  SplitFindings findings;
  GRAFT_ASSIGN_OR_RETURN(const Manifest manifest,
                         SplitFolder(source, request.staging, options, tracker.Fn(), &findings));

  constexpr size_t kNamed = 20;
  for (size_t i = 0; i < manifest.skipped.size() && i < kNamed; ++i) {
    sink.log({absl::StrCat("skipped ", manifest.skipped[i].path, ": ", manifest.skipped[i].reason), true});
  }
  if (manifest.skipped.size() > kNamed) {
    sink.log({absl::StrCat("skipped ", manifest.skipped.size() - kNamed, " more; the data set lists them"), true});
  }
  GRAFT_ASSIGN_OR_RETURN(
      const DatasetQuality quality, CatchExceptions("looking for near-duplicates", [&] {
        return absl::StatusOr<DatasetQuality>(InspectDataset(request.staging, manifest, findings, options.threads));
      }));
  for (const std::string& warning : QualityWarnings(quality, spec.dataset)) {
    sink.log({warning, true});
  }
  GRAFT_RETURN_IF_ERROR(SaveQuality(quality, request.staging));

  DatasetInfo info = DescribeDataset(manifest);
  info.name = spec.dataset;
  info.create_time_ms = NowMs();
  info.job_id = request.job_id;
  info.recipe = spec.recipe;
  GRAFT_RETURN_IF_ERROR(SaveDatasetInfo(info, request.staging));
  return ToJson(SplitJobResult{spec.dataset, static_cast<int64_t>(manifest.entries.size()), info.skipped_total});
}

}  // namespace graft
