#include "server/jobs/disk_reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/file.h"

namespace graft {

absl::StatusOr<int64_t> FreeBytes(const std::filesystem::path& folder) {
  struct statvfs info {};
  if (statvfs(folder.c_str(), &info) != 0) {
    return ErrnoStatus(errno, "ask for the free space of", folder);
  }
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

absl::Status DiskReserve::Make() {
  struct stat info {};
  if (stat(file_.c_str(), &info) == 0 && info.st_size == bytes_) {
    return absl::OkStatus();
  }
  const int fd = open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return ErrnoStatus(errno, "create", file_);
  }
  const int error = posix_fallocate(fd, 0, bytes_);
  close(fd);
  if (error != 0) {
    unlink(file_.c_str());
    return ErrnoStatus(error, "allocate", file_);
  }
  return absl::OkStatus();
}

bool DiskReserve::GiveUp() { return unlink(file_.c_str()) == 0; }

}  // namespace graft
