// An upload while it comes in.
#ifndef GRAFT_CORE_STORE_UPLOAD_H_
#define GRAFT_CORE_STORE_UPLOAD_H_

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace graft {

class DataFolder;

// Takes files one after the other; they become an upload, all of them and durably, when Finish returns OK. Destroyed
// before that, or after an error, what came is dropped, which costs a rename. One caller at a time. Lives shorter than
// its DataFolder.
class UploadSink {
 public:
  struct Summary {
    std::string id;
    int64_t files = 0;
    int64_t bytes = 0;
  };

  UploadSink(const UploadSink&) = delete;
  UploadSink& operator=(const UploadSink&) = delete;
  ~UploadSink();

  // The next file's path; its content follows. INVALID_ARGUMENT: not a path to take (CheckRelativePath), one that came
  // before, or a file and a folder of one name. RESOURCE_EXHAUSTED: too many files.
  absl::Status NextFile(const std::string& path);
  // RESOURCE_EXHAUSTED: too many bytes, or the disk is full.
  absl::Status Write(absl::string_view chunk);
  // INVALID_ARGUMENT: no file came.
  absl::StatusOr<Summary> Finish();

 private:
  friend class DataFolder;
  explicit UploadSink(DataFolder* data) : data_(data) {}

  absl::Status Start();
  absl::Status CloseFile();

  DataFolder* const data_;
  Summary summary_;
  std::filesystem::path folder_;  // empty until the first file comes, and once the upload has its place
  std::set<std::string> files_;
  std::set<std::string> folders_;  // that hold one of them
  std::string path_;               // of the file that is open
  int fd_ = -1;
  int64_t file_bytes_ = 0;
};

}  // namespace graft

#endif  // GRAFT_CORE_STORE_UPLOAD_H_
