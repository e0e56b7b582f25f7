#include "core/store/upload.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/failpoint.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/store/data_folder.h"
#include "core/store/names.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFiles = 100'000;
constexpr int64_t kMaxUploadBytes = int64_t{10} << 30;
constexpr int64_t kMaxFileBytes = int64_t{64} << 20;

std::string NewId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

}  // namespace

UploadSink::~UploadSink() {
  if (fd_ >= 0) {
    close(fd_);
  }
  if (!folder_.empty()) {
    data_->DropIncoming(folder_);
  }
}

absl::Status UploadSink::Start() {
  summary_.id = NewId();
  const fs::path folder = data_->root() / "incoming" / summary_.id;
  GRAFT_RETURN_IF_ERROR(Failpoint("upload.start"));
  GRAFT_RETURN_IF_ERROR(data_->Create(folder));
  folder_ = folder;
  return absl::OkStatus();
}

absl::Status UploadSink::NextFile(const std::string& path) {
  GRAFT_RETURN_IF_ERROR(CheckRelativePath("path", path));
  GRAFT_RETURN_IF_ERROR(CloseFile());
  if (folder_.empty()) {
    GRAFT_RETURN_IF_ERROR(Start());
  }
  if (++summary_.files > kMaxFiles) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the upload has more than ", kMaxFiles, " files; split it into several"));
  }
  if (folders_.count(path) > 0) {
    return InvalidField("path", absl::StrCat("'", path,
                                             "' is a folder, which holds a file that came before; a file "
                                             "and a folder can't have one name"));
  }
  if (!files_.insert(path).second) {
    return InvalidField("path", absl::StrCat("'", path, "' comes twice"));
  }
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    std::string folder = path.substr(0, slash);
    if (files_.count(folder) > 0) {
      return InvalidField("path", absl::StrCat("'", path, "' lies in '", folder,
                                               "', which came as a file; a file and a folder can't have one name"));
    }
    if (folders_.insert(folder).second) {
      GRAFT_RETURN_IF_ERROR(data_->Create(folder_ / folder));
    }
  }
  const fs::path target = folder_ / path;
  fd_ = open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd_ < 0) {
    return data_->Relative(ErrnoStatus(errno, "create", target));
  }
  path_ = path;
  file_bytes_ = 0;
  return absl::OkStatus();
}

absl::Status UploadSink::Write(absl::string_view chunk) {
  if (fd_ < 0) {
    return InvalidField("path", "the first message must carry a file's path, then its chunks");
  }
  const auto size = static_cast<int64_t>(chunk.size());
  file_bytes_ += size;
  summary_.bytes += size;
  if (file_bytes_ > kMaxFileBytes || summary_.bytes > kMaxUploadBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the upload is too large at '", path_, "': at most ",
                                                     kMaxFileBytes >> 20, " MiB a file and ", kMaxUploadBytes >> 30,
                                                     " GiB in all are accepted"));
  }
  GRAFT_RETURN_IF_ERROR(Failpoint("upload.write"));
  while (!chunk.empty()) {
    const ssize_t n = write(fd_, chunk.data(), chunk.size());
    if (n < 0 && errno != EINTR) {
      return data_->Relative(ErrnoStatus(errno, "write", folder_ / path_));
    }
    chunk.remove_prefix(n < 0 ? 0 : static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status UploadSink::CloseFile() {
  // A network's file system may say only here that it is full.
  if (fd_ >= 0 && close(std::exchange(fd_, -1)) != 0) {
    return data_->Relative(ErrnoStatus(errno, "write", folder_ / path_));
  }
  return absl::OkStatus();
}

absl::StatusOr<UploadSink::Summary> UploadSink::Finish() {
  GRAFT_RETURN_IF_ERROR(CloseFile());
  if (summary_.files == 0) {
    return absl::InvalidArgumentError("the upload holds no file");
  }
  GRAFT_RETURN_IF_ERROR(data_->KeepUpload(summary_.id, folder_));
  folder_.clear();
  return summary_;
}

}  // namespace graft
