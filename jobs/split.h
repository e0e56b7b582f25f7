// Splitting labelled images into the three parts of a data set.
#ifndef GRAFT_JOBS_SPLIT_H_
#define GRAFT_JOBS_SPLIT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/store/dataset_info.h"
#include "jobs/kind.h"
#include "jobs/run.h"

namespace graft {

struct SplitJobSpec {
  std::string dataset;
  SplitRecipe recipe;
};
nlohmann::json ToJson(const SplitJobSpec& spec);
absl::StatusOr<SplitJobSpec> SplitJobSpecFromJson(const nlohmann::json& json);  // DATA_LOSS

struct SplitJobResult {
  std::string dataset;
  int64_t images = 0;
  int64_t skipped = 0;
};
nlohmann::json ToJson(const SplitJobResult& result);
absl::StatusOr<SplitJobResult> SplitJobResultFromJson(const nlohmann::json& json);  // DATA_LOSS

const JobKind& SplitKind();
absl::StatusOr<nlohmann::json> RunSplit(const RunRequest& request, const JobSink& sink);

}  // namespace graft

#endif  // GRAFT_JOBS_SPLIT_H_
