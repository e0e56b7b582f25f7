#include "core/base/file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

// Closes on every way out.
struct Fd {
  explicit Fd(int value) : fd(value) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd >= 0) {
      close(fd);
    }
  }
  int fd;
};

// Bytes in an opened regular file; INVALID_ARGUMENT when it is something else.
absl::StatusOr<int64_t> RegularSize(const Fd& file, const std::filesystem::path& path) {
  struct stat info {};
  if (file.fd < 0 || fstat(file.fd, &info) != 0) {
    return ErrnoStatus(errno, "open", path);
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), " is not a regular file"));
  }
  return static_cast<int64_t>(info.st_size);
}

absl::Status WriteAll(int fd, const uint8_t* data, size_t size, const std::filesystem::path& path) {
  while (size > 0) {
    const ssize_t n = write(fd, data, size);
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, "write", path);
    }
    data += n;
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status CopyBytes(const Fd& source, const Fd& target, const std::filesystem::path& from,
                       const std::filesystem::path& to) {
  std::vector<uint8_t> buffer(1 << 18);
  for (;;) {
    const ssize_t n = read(source.fd, buffer.data(), buffer.size());
    if (n == 0) {
      return absl::OkStatus();
    }
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, "read", from);
    }
    GRAFT_RETURN_IF_ERROR(WriteAll(target.fd, buffer.data(), static_cast<size_t>(n), to));
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what, const std::filesystem::path& path) {
  const std::string message =
      absl::StrCat("cannot ", what, " ", path.string(), ": ", std::generic_category().message(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case ENAMETOOLONG:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::StatusOr<std::vector<uint8_t>> ReadFile(const std::filesystem::path& path, int64_t max_bytes) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  GRAFT_ASSIGN_OR_RETURN(const int64_t size, RegularSize(file, path));
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), " has ", size, " bytes; at most ", max_bytes, " are read"));
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(size));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = read(file.fd, bytes.data() + done, bytes.size() - done);
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, "read", path);
    }
    if (n == 0) {
      break;  // cut while being read
    }
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::move(other.temporary_)), fd_(std::exchange(other.fd_, -1)) {}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) {
    close(fd_);
    unlink(temporary_.c_str());
  }
}

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::filesystem::path& path) {
  static std::atomic<int> counter{0};
  for (;;) {
    std::filesystem::path temporary = path;
    temporary += absl::StrCat(".", getpid(), ".", counter++, ".tmp");
    const int fd = open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0) {
      return AtomicFile(path, std::move(temporary), fd);
    }
    // A process that died may have left this name behind: in a container, process ids come again.
    if (errno != EEXIST) {
      return ErrnoStatus(errno, "create", temporary);
    }
  }
}

absl::Status AtomicFile::Write(absl::Span<const uint8_t> bytes) {
  return WriteAll(fd_, bytes.data(), bytes.size(), temporary_);
}

absl::Status AtomicFile::Write(absl::string_view text) {
  return WriteAll(fd_, reinterpret_cast<const uint8_t*>(text.data()), text.size(), temporary_);
}

absl::Status AtomicFile::WriteAt(int64_t offset, absl::string_view text) {
  const ssize_t n = pwrite(fd_, text.data(), text.size(), offset);
  if (n != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus(n < 0 ? errno : EIO, "write", temporary_);
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  if (fsync(fd_) != 0) {
    return ErrnoStatus(errno, "sync", temporary_);
  }
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    return ErrnoStatus(errno, "rename to", path_);
  }
  close(std::exchange(fd_, -1));
  return SyncFolder(path_.parent_path());
}

absl::Status WriteFileAtomic(const std::filesystem::path& path, absl::string_view content) {
  GRAFT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  GRAFT_RETURN_IF_ERROR(file.Write(content));
  return file.Commit();
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
  const std::filesystem::path name = folder.empty() ? "." : folder;
  const Fd dir(open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.fd < 0) {
    return ErrnoStatus(errno, "open", name);
  }
  if (fsync(dir.fd) != 0) {
    return ErrnoStatus(errno, "sync", name);
  }
  return absl::OkStatus();
}

absl::Status CopyFile(const std::filesystem::path& from, const std::filesystem::path& to) {
  const Fd source(open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  GRAFT_RETURN_IF_ERROR(RegularSize(source, from).status());
  const Fd target(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (target.fd < 0) {
    return ErrnoStatus(errno, "create", to);
  }
  if (ioctl(target.fd, FICLONE, source.fd) == 0) {
    return absl::OkStatus();
  }
  absl::Status status = CopyBytes(source, target, from, to);
  if (!status.ok()) {
    unlink(to.c_str());
  }
  return status;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) {
    munmap(const_cast<uint8_t*>(data_), size_);
  }
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  GRAFT_ASSIGN_OR_RETURN(const int64_t size, RegularSize(file, path));
  if (size == 0) {
    return MappedFile(nullptr, 0);
  }
  void* data = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, file.fd, 0);
  if (data == MAP_FAILED) {
    return ErrnoStatus(errno, "map", path);
  }
  return MappedFile(static_cast<const uint8_t*>(data), static_cast<size_t>(size));
}

}  // namespace graft
