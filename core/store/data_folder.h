// The data folder: every path below it, for server and worker alike, and what is done with them as a whole: publishing
// results, taking uploads, deleting, listing. Nothing else puts such a path together.
//
//   datasets/NAME/                training_data/, validation_data/, test_data/, manifest.json, dataset.json, cache/
//   models/NAME/VERSION/          model.json, model.safetensors, pictures, evaluations/DATASET-PART/, mistakes/
//   incoming/ID/                  an upload that is being sent
//   uploads/ID/                   one that is whole: files as they came
//   jobs/ID/attempt-N/            worker.log, out/ (what will be published), replaced/ (what was there before)
//   trash/                        on its way out
//   jobs.sqlite, worker.sock, lock
//
// What was published holds a file `published-by` with the job's id.
#ifndef GRAFT_CORE_STORE_DATA_FOLDER_H_
#define GRAFT_CORE_STORE_DATA_FOLDER_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/dir.h"
#include "core/base/mutex.h"
#include "core/data/manifest.h"
#include "core/data/quality.h"
#include "core/model/artifact.h"
#include "core/model/model_ref.h"
#include "core/store/dataset_info.h"
#include "core/store/evaluation.h"
#include "core/store/label_mistakes.h"
#include "core/store/upload.h"

namespace graft {

// Where a job's result goes.
struct PublishTarget {
  std::filesystem::path path;  // below the data folder: datasets/pets
  // What is there may be replaced by a later job's (an evaluation); otherwise the place must be free (ALREADY_EXISTS).
  bool replace = false;
};

// What lists show. `damaged` says why something of it can't be read; what could be read is there.
struct DatasetEntry {
  DatasetInfo info;  // its name at least
  std::filesystem::path folder;
  std::string damaged;
};
struct ModelEntry {
  ModelDescription description;  // its name and version at least
  std::filesystem::path folder;
  int64_t size_bytes = 0;
  std::vector<std::string> pictures;  // relative to the folder, sorted
  std::vector<Evaluation> evaluations;
  std::string damaged;
};

struct ScoredPart {
  Evaluation evaluation;
  Predictions predictions;
};

// Thread-safe. Messages of errors name files relative to the data folder: they go to callers. Deleting takes a rename;
// a thread of this class's own takes things off the disk afterwards.
class DataFolder {
 public:
  struct Options {
    std::filesystem::path root;
    // An upload that nobody uses is kept for this long after the last use.
    std::chrono::steady_clock::duration upload_kept = std::chrono::hours(24);
    // A clock that nobody sets: uploads mustn't go because somebody did.
    std::function<std::chrono::steady_clock::time_point()> now = &std::chrono::steady_clock::now;
  };

  // For paths alone, as a worker uses it: touches nothing.
  explicit DataFolder(std::filesystem::path root) : DataFolder(Options{std::move(root)}) {}
  // For the one server whose folder it is: creates what isn't there, for this user only, and clears away what an
  // earlier server left half done.
  static absl::StatusOr<std::unique_ptr<DataFolder>> Open(Options options);
  // What isn't off the disk by now is so after the next Open.
  ~DataFolder();

  const std::filesystem::path& root() const { return options_.root; }
  std::filesystem::path JobLog() const { return root() / "jobs.sqlite"; }
  std::filesystem::path WorkerSocket() const { return root() / "worker.sock"; }
  std::filesystem::path LockFile() const { return root() / "lock"; }
  std::filesystem::path Dataset(absl::string_view name) const { return root() / "datasets" / std::string(name); }
  std::filesystem::path Model(absl::string_view name, int version) const {
    return root() / "models" / std::string(name) / absl::StrCat(version);
  }
  // Of trunks that were imported; see imported_trunks.h.
  std::filesystem::path Trunks() const { return root() / "trunks"; }
  std::filesystem::path Upload(absl::string_view id) const { return root() / "uploads" / std::string(id); }
  std::filesystem::path Attempt(absl::string_view job_id, int attempt) const {
    return root() / "jobs" / std::string(job_id) / absl::StrCat("attempt-", attempt);
  }
  // What the attempt's worker writes; published by a rename.
  std::filesystem::path Staging(absl::string_view job_id, int attempt) const {
    return Attempt(job_id, attempt) / "out";
  }

  // How far a job has come that can go on from there; of all of its attempts.
  std::filesystem::path Checkpoints(absl::string_view job_id) const {
    return root() / "jobs" / std::string(job_id) / "checkpoints";
  }

  static PublishTarget DatasetTarget(absl::string_view name);
  static PublishTarget ModelTarget(absl::string_view name, int version);
  static PublishTarget EvaluationTarget(absl::string_view model, int version, absl::string_view dataset, Part part);
  static PublishTarget MistakesTarget(absl::string_view model, int version);

  // Puts what lies in `staging` in its place, durably: everything in it is on the disk before the rename, and the names
  // of all folders up to the root after. Publishing the same job's result again, also one whose publishing failed or
  // was cut short at any step, is OK and changes nothing more. ALREADY_EXISTS: somebody else's is there and may not be
  // replaced. NOT_FOUND: neither a result nor a trace of it.
  absl::Status Publish(absl::string_view job_id, const std::filesystem::path& staging, const PublishTarget& target);

  // All NOT_FOUND when it isn't there; DATA_LOSS when it is damaged.
  absl::StatusOr<DatasetInfo> GetDataset(const std::string& name) const;
  absl::StatusOr<ModelDescription> GetModel(const ModelRef& ref) const;
  // The version that a reference names.
  absl::StatusOr<int> ResolveVersion(const ModelRef& ref) const;
  absl::StatusOr<std::filesystem::path> ModelFolder(const ModelRef& ref) const;
  // A model's scores on a part, with what it said of each image. NOT_FOUND also when it wasn't evaluated there, or by a
  // server that kept no predictions.
  absl::StatusOr<ScoredPart> GetEvaluation(const ModelRef& ref, const std::string& dataset, Part part) const;
  // What is probably labelled wrong in the data set of a model; `picture`, when not null, gets the contact sheet.
  // NOT_FOUND also when nobody has looked for it yet.
  absl::StatusOr<LabelMistakes> GetMistakes(const ModelRef& ref, std::string* picture) const;
  // What a copy of a model consists of, relative to its folder, sorted.
  absl::StatusOr<std::vector<std::string>> ModelFiles(const ModelRef& ref) const;
  // NOT_FOUND also for a data set without a report.
  absl::StatusOr<DatasetQuality> GetQuality(const std::string& name) const;
  bool HasDataset(const std::string& name) const;    // a damaged one too: its name is taken
  int NewestVersion(const std::string& name) const;  // 0: none

  // For lists: a damaged one is shown as such. NOT_FOUND.
  absl::StatusOr<DatasetEntry> ShowDataset(const std::string& name) const;
  absl::StatusOr<ModelEntry> ShowModel(const ModelRef& ref) const;
  std::vector<std::string> DatasetNames() const;                   // sorted
  std::vector<std::pair<std::string, int>> ModelVersions() const;  // by name, newest version first

  // Out of sight, durably, when they return. NOT_FOUND. Whether a job uses it is the caller's to know.
  absl::Status DeleteDataset(const std::string& name);
  absl::StatusOr<int> DeleteModel(const std::string& name, int version);  // 0: all; returns how many

  // Drops a folder that a job wrote to; nothing when it isn't there.
  void DropStaging(absl::string_view job_id, int attempt);

  // The sink of a new upload, which has an id once it is finished.
  std::unique_ptr<UploadSink> NewUpload();
  // The folder of a whole upload, which counts as used now. `field` is what errors name: INVALID_ARGUMENT, NOT_FOUND.
  absl::StatusOr<std::filesystem::path> FindUpload(absl::string_view field, const std::string& id) const;
  // Runs `drop` while no queued or running job reads the upload and none can be queued that would, and returns true; or
  // returns false. May take locks of the jobs', but none that is held while this class is called.
  using UploadGuard = std::function<bool(const std::string& id, const std::function<void()>& drop)>;
  // Without a guard, as in the beginning, no upload is dropped. When this returns the one before isn't called any more.
  void GuardUploads(UploadGuard guard);
  // After a job has used it; when another one reads it, that one will drop it.
  void DropUpload(const std::string& id);
  // Drops uploads that have been of no use to anybody for Options::upload_kept. Also done every now and then.
  void DropOldUploads();

  // Returns once what was deleted before is off the disk.
  void WaitUntilSwept();

 private:
  friend class UploadSink;

  explicit DataFolder(Options options) : options_(std::move(options)) {}

  // The same status with paths relative to the root.
  absl::Status Relative(const absl::Status& status) const;
  // A folder for this user only; OK when it is there. Its parent must be.
  absl::Status Create(const std::filesystem::path& folder) const;
  absl::Status Rename(const std::filesystem::path& from, const std::filesystem::path& to) const;
  // The files of a model that is there.
  absl::StatusOr<std::vector<TreeFile>> Tree(const ModelRef& ref, const std::filesystem::path& folder) const;
  absl::Status MoveToTrash(const std::filesystem::path& path);
  absl::Status Place(absl::string_view job_id, const std::filesystem::path& staging, const PublishTarget& target)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(layout_);
  // A finished upload takes its place.
  absl::Status KeepUpload(const std::string& id, const std::filesystem::path& incoming);
  void DropIncoming(const std::filesystem::path& incoming);

  void SweepLoop();
  void RemoveTree(const std::filesystem::path& path);
  bool Stopping();
  bool SweepIsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(sweep_mutex_) { return stop_ || swept_ != trashed_; }
  bool IsSwept() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(sweep_mutex_) { return swept_ == trashed_; }

  const Options options_;

  // Held while names below models/ and datasets/ change, so that nobody takes away a folder that a result is just being
  // put into.
  Mutex layout_;

  // Held while the guard runs.
  Mutex guard_mutex_ ABSL_ACQUIRED_BEFORE(uploads_mutex_);
  UploadGuard guard_ ABSL_GUARDED_BY(guard_mutex_);

  mutable Mutex uploads_mutex_;
  mutable std::map<std::string, std::chrono::steady_clock::time_point> uploads_  // by id: when it was last used
      ABSL_GUARDED_BY(uploads_mutex_);

  Mutex sweep_mutex_;
  // How often something came into the trash, and up to which time it is off the disk.
  int64_t trashed_ ABSL_GUARDED_BY(sweep_mutex_) = 0;
  int64_t swept_ ABSL_GUARDED_BY(sweep_mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(sweep_mutex_) = false;
  // Joined before anything above goes.
  std::thread sweeper_;
};

}  // namespace graft

#endif  // GRAFT_CORE_STORE_DATA_FOLDER_H_
