// What a data set is, beside its manifest: dataset.json in its folder.
#ifndef GRAFT_CORE_STORE_DATASET_INFO_H_
#define GRAFT_CORE_STORE_DATASET_INFO_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/data/manifest.h"
#include "core/data/split.h"
#include "core/store/names.h"

namespace graft {

// Where a data set's images come from, and how they are shared out.
struct SplitRecipe {
  std::variant<AllowedFolder, std::string> source;  // a folder, or an upload's id
  LabelRule label_rule = LabelRule::kFilename;
  std::variant<SplitCounts, SplitFractions> sizes;
  uint64_t seed = 0;
  bool hard_link = false;

  // The upload's id; empty: the source is a folder.
  std::string upload_id() const {
    const auto* id = std::get_if<std::string>(&source);
    return id == nullptr ? "" : *id;
  }
};

nlohmann::json ToJson(const SplitRecipe& recipe);
// DATA_LOSS.
absl::StatusOr<SplitRecipe> SplitRecipeFromJson(const nlohmann::json& json);

struct DatasetInfo {
  struct Class {
    std::string label;
    int64_t train = 0;
    int64_t validation = 0;
    int64_t test = 0;
  };

  std::string name;
  int64_t create_time_ms = 0;  // since 1970, UTC
  std::string job_id;          // that made it
  SplitRecipe recipe;
  std::vector<Class> classes;         // sorted by label
  std::vector<SkippedEntry> skipped;  // the first 1,000
  int64_t skipped_total = 0;
  int64_t unused = 0;       // images that no part needed
  int64_t size_bytes = 0;   // of its images
  std::string fingerprint;  // the manifest's
};

// What the manifest says of it: classes, skipped files, counts, fingerprint.
DatasetInfo DescribeDataset(const Manifest& manifest);

// Sealed. Load: NOT_FOUND or DATA_LOSS.
absl::Status SaveDatasetInfo(const DatasetInfo& info, const std::filesystem::path& folder);
absl::StatusOr<DatasetInfo> LoadDatasetInfo(const std::filesystem::path& folder);

}  // namespace graft

#endif  // GRAFT_CORE_STORE_DATASET_INFO_H_
