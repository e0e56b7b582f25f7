// The data folder: every path below it, for server and worker alike, and what is done with them as a whole: publishing
// results, taking uploads, deleting, listing. Nothing else puts such a path together.
//
//   datasets/NAME/                training_data/, validation_data/, test_data/, manifest.json, dataset.json, cache/
//   models/NAME/VERSION/          model.json, model.safetensors, pictures, evaluations/DATASET-PART/
//   uploads/ID/                   files as they came
//   jobs/ID/attempt-N/            worker.log, out/ (what will be published)
//   trash/                        on its way out
//   jobs.sqlite, worker.sock, lock
#ifndef GRAFT_CORE_STORE_DATA_FOLDER_H_
#define GRAFT_CORE_STORE_DATA_FOLDER_H_

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace graft {

// Where a job's result goes.
struct PublishTarget {
  std::filesystem::path path;  // absolute, below the data folder
  // What is there may be replaced by a later job's (an evaluation); otherwise the place must be free (ALREADY_EXISTS).
  bool replace = false;
};

// Thread-safe.
class DataFolder {
 public:
  explicit DataFolder(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path JobLog() const { return root_ / "jobs.sqlite"; }
  std::filesystem::path WorkerSocket() const { return root_ / "worker.sock"; }
  std::filesystem::path LockFile() const { return root_ / "lock"; }
  std::filesystem::path Dataset(absl::string_view name) const { return root_ / "datasets" / std::string(name); }
  std::filesystem::path Model(absl::string_view name, int version) const {
    return root_ / "models" / std::string(name) / absl::StrCat(version);
  }
  std::filesystem::path Upload(absl::string_view id) const { return root_ / "uploads" / std::string(id); }
  std::filesystem::path Attempt(absl::string_view job_id, int attempt) const {
    return root_ / "jobs" / std::string(job_id) / absl::StrCat("attempt-", attempt);
  }
  // What the attempt's worker writes; published by a rename.
  std::filesystem::path Staging(absl::string_view job_id, int attempt) const {
    return Attempt(job_id, attempt) / "out";
  }

  // Puts what lies in `staging` in its place, durably. Publishing the same job's result again is OK and changes
  // nothing: the target carries the job's id. ALREADY_EXISTS: somebody else's is there and may not be replaced.
  absl::Status Publish(absl::string_view job_id, const std::filesystem::path& staging, const PublishTarget& target);

 private:
  const std::filesystem::path root_;
};

}  // namespace graft

#endif  // GRAFT_CORE_STORE_DATA_FOLDER_H_
