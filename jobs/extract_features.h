// Running a trunk over a data set's images, once, for heads to train on.
#ifndef GRAFT_JOBS_EXTRACT_FEATURES_H_
#define GRAFT_JOBS_EXTRACT_FEATURES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/data/image.h"
#include "core/model/options.h"
#include "jobs/kind.h"
#include "jobs/run.h"

namespace graft {

struct ExtractFeaturesJobSpec {
  std::string dataset;
  std::string trunk;
  Preprocessing preprocessing = Preprocessing::kAuto;
  Interpolation interpolation = Interpolation::kNearest;
  int image_size = 0;
};
nlohmann::json ToJson(const ExtractFeaturesJobSpec& spec);
absl::StatusOr<ExtractFeaturesJobSpec> ExtractFeaturesJobSpecFromJson(const nlohmann::json& json);  // DATA_LOSS

struct ExtractFeaturesJobResult {
  int64_t images = 0;
  int64_t dimension = 0;
  bool cached = false;
  double seconds = 0;
};
nlohmann::json ToJson(const ExtractFeaturesJobResult& result);
absl::StatusOr<ExtractFeaturesJobResult> ExtractFeaturesJobResultFromJson(const nlohmann::json& json);  // DATA_LOSS

const JobKind& ExtractFeaturesKind();
absl::StatusOr<nlohmann::json> RunExtractFeatures(const RunRequest& request, const JobSink& sink);

}  // namespace graft

#endif  // GRAFT_JOBS_EXTRACT_FEATURES_H_
