// Data sets, models and uploads: folders below the data folder, listed from the disk.
#ifndef GRAFT_SERVER_CATALOG_H_
#define GRAFT_SERVER_CATALOG_H_

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graft/v1/datasets.pb.h"
#include "graft/v1/jobs.pb.h"
#include "graft/v1/models.pb.h"

namespace graft {

// [A-Za-z0-9][A-Za-z0-9._-]{0,62}: safe as a folder's name. INVALID_ARGUMENT names the field.
absl::Status CheckName(absl::string_view field, absl::string_view name);

// A relative path with forward slashes and no "..", "." or empty part, no control characters, at most 4,096 bytes, 255
// a part.
absl::Status CheckRelativePath(absl::string_view field, absl::string_view path);

// Whether an absolute folder, links resolved, is one of `allowed` or lies below it. INVALID_ARGUMENT, NOT_FOUND,
// PERMISSION_DENIED.
absl::StatusOr<std::filesystem::path> CheckAllowedFolder(absl::string_view field, const std::string& folder,
                                                         const std::vector<std::filesystem::path>& allowed);

// Thread-safe. Reads and renames only; nothing here is slow but deleting.
class Catalog {
 public:
  // Creates the folders that aren't there and deletes uploads older than a day and what a crash left in the trash.
  static absl::StatusOr<std::unique_ptr<Catalog>> Open(const std::filesystem::path& data_dir);

  // All NOT_FOUND when it isn't there.
  absl::StatusOr<v1::Dataset> GetDataset(const std::string& name) const;
  absl::StatusOr<v1::Model> GetModel(const std::string& name, int version) const;  // 0: the newest
  absl::StatusOr<int> ResolveVersion(const std::string& name, int version) const;  // 0: the newest
  absl::StatusOr<std::filesystem::path> ModelFolder(const std::string& name, int version) const;
  bool HasDataset(const std::string& name) const;

  std::vector<std::string> DatasetNames() const;                   // sorted
  std::vector<std::pair<std::string, int>> ModelVersions() const;  // by name, newest version first
  int NewestVersion(const std::string& name) const;                // 0: none

  // Out of sight at once, then off the disk.
  absl::Status DeleteDataset(const std::string& name);
  absl::StatusOr<int> DeleteModel(const std::string& name, int version);  // 0: all; returns how many

  // Makes a finished job's result visible; see JobManager::Publish.
  absl::Status Publish(const v1::JobSpec& spec, int model_version, const std::filesystem::path& staging);

  // A new folder for an upload.
  absl::StatusOr<std::pair<std::string, std::filesystem::path>> NewUpload();
  absl::StatusOr<std::filesystem::path> UploadFolder(const std::string& upload_id) const;
  void DeleteUpload(const std::string& upload_id);

 private:
  explicit Catalog(std::filesystem::path data_dir) : data_dir_(std::move(data_dir)) {}

  std::filesystem::path DatasetFolder(const std::string& name) const;
  absl::Status MoveToTrash(const std::filesystem::path& folder);
  void DeleteOldUploads();

  const std::filesystem::path data_dir_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_CATALOG_H_
