#include "core/base/file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

constexpr char kTemporarySuffix[] = ".tmp";

UniqueFd OpenToRead(const std::filesystem::path& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

// Bytes in an opened regular file; INVALID_ARGUMENT when it is something else.
absl::StatusOr<int64_t> RegularSize(const UniqueFd& file, const std::filesystem::path& path) {
  struct stat info {};
  if (!file.ok() || fstat(file.get(), &info) != 0) {
    return ErrnoStatus(errno, "open", path);
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(Printable(path.string()), " is not a regular file"));
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

absl::Status CopyBytes(const UniqueFd& source, const UniqueFd& target, const std::filesystem::path& from,
                       const std::filesystem::path& to) {
  std::vector<uint8_t> buffer(1 << 18);
  for (;;) {
    const ssize_t n = read(source.get(), buffer.data(), buffer.size());
    if (n == 0) {
      return absl::OkStatus();
    }
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, "read", from);
    }
    GRAFT_RETURN_IF_ERROR(WriteAll(target.get(), buffer.data(), static_cast<size_t>(n), to));
  }
}

// NAME.PID.NUMBER.tmp
bool IsTemporary(absl::string_view name) {
  const std::vector<absl::string_view> words = absl::StrSplit(name, '.');
  const auto is_number = [](absl::string_view word) {
    return !word.empty() && std::all_of(word.begin(), word.end(), absl::ascii_isdigit);
  };
  return words.size() >= 4 && absl::EndsWith(name, kTemporarySuffix) && is_number(words[words.size() - 2]) &&
         is_number(words[words.size() - 3]);
}

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

int UniqueFd::Release() { return std::exchange(fd_, -1); }

absl::Status ErrnoStatus(int error, absl::string_view what, const std::filesystem::path& path) {
  const std::string message =
      absl::StrCat("cannot ", what, " ", Printable(path.string()), ": ", std::generic_category().message(error));
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
  return ReadFile(OpenToRead(path), path, max_bytes);
}

absl::StatusOr<std::vector<uint8_t>> ReadFile(const UniqueFd& file, const std::filesystem::path& path,
                                              int64_t max_bytes) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t size, RegularSize(file, path));
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(path.string()), " has ", size, " bytes; at most ", max_bytes, " are read"));
  }
  std::vector<uint8_t> bytes;
  GRAFT_RETURN_IF_ERROR(CatchExceptions(absl::StrCat("reading ", Printable(path.string())), [&] {
    bytes.resize(static_cast<size_t>(size));
    return absl::OkStatus();
  }));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = read(file.get(), bytes.data() + done, bytes.size() - done);
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

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path temporary, UniqueFd fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(std::move(fd)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept = default;

AtomicFile::~AtomicFile() {
  if (fd_.ok()) {
    unlink(temporary_.c_str());
  }
}

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::filesystem::path& path) {
  static std::atomic<int> counter{0};
  for (;;) {
    std::filesystem::path temporary = path;
    temporary += absl::StrCat(".", getpid(), ".", counter++, kTemporarySuffix);
    UniqueFd fd(open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.ok()) {
      // A process that died may have left this name behind: in a container, process ids come again.
      if (errno == EEXIST) {
        continue;
      }
      return ErrnoStatus(errno, "create", temporary);
    }
    // Where a file system knows no locks, a sweep gets none either and leaves the file alone.
    flock(fd.get(), LOCK_EX);
    struct stat info {};
    if (fstat(fd.get(), &info) == 0 && info.st_nlink > 0) {
      return AtomicFile(path, std::move(temporary), std::move(fd));
    }
    // A sweep came between the two.
  }
}

absl::Status AtomicFile::Write(absl::Span<const uint8_t> bytes) {
  return WriteAll(fd_.get(), bytes.data(), bytes.size(), temporary_);
}

absl::Status AtomicFile::Write(absl::string_view text) {
  return WriteAll(fd_.get(), reinterpret_cast<const uint8_t*>(text.data()), text.size(), temporary_);
}

absl::Status AtomicFile::WriteAt(int64_t offset, absl::string_view text) {
  const ssize_t n = pwrite(fd_.get(), text.data(), text.size(), offset);
  if (n != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus(n < 0 ? errno : EIO, "write", temporary_);
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  if (fsync(fd_.get()) != 0) {
    return ErrnoStatus(errno, "sync", temporary_);
  }
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    return ErrnoStatus(errno, "rename to", path_);
  }
  fd_ = UniqueFd();
  return SyncFolder(path_.parent_path());
}

absl::Status WriteFileAtomic(const std::filesystem::path& path, absl::string_view content) {
  GRAFT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  GRAFT_RETURN_IF_ERROR(file.Write(content));
  return file.Commit();
}

void SweepTemporaries(const std::filesystem::path& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (!IsTemporary(it->path().filename().string())) {
      continue;
    }
    const UniqueFd file(open(it->path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    if (RegularSize(file, it->path()).ok() && flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
      // Its writer may have finished, and renamed it, since its name was read: then this name is gone, or another's,
      // who waits for its lock.
      struct stat opened {};
      struct stat named {};
      if (fstat(file.get(), &opened) == 0 && lstat(it->path().c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
          opened.st_dev == named.st_dev) {
        unlink(it->path().c_str());
      }
    }
  }
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
  const std::filesystem::path name = folder.empty() ? "." : folder;
  const UniqueFd dir(open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.ok()) {
    return ErrnoStatus(errno, "open", name);
  }
  if (fsync(dir.get()) != 0) {
    return ErrnoStatus(errno, "sync", name);
  }
  return absl::OkStatus();
}

absl::Status SyncFileSystem(const std::filesystem::path& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) {
    return ErrnoStatus(errno, "open", path);
  }
  if (syncfs(fd.get()) != 0) {
    return ErrnoStatus(errno, "sync the file system of", path);
  }
  return absl::OkStatus();
}

absl::Status CreateFolders(const std::filesystem::path& folder) {
  if (mkdir(folder.c_str(), 0700) == 0) {
    return absl::OkStatus();
  }
  int error = errno;
  if (error == ENOENT && folder.has_parent_path() && folder.parent_path() != folder) {
    GRAFT_RETURN_IF_ERROR(CreateFolders(folder.parent_path()));
    error = mkdir(folder.c_str(), 0700) == 0 ? 0 : errno;
  }
  std::error_code ignored;
  if (error == 0 || (error == EEXIST && std::filesystem::is_directory(folder, ignored))) {
    return absl::OkStatus();
  }
  return ErrnoStatus(error, "create", folder);
}

absl::Status CopyFile(const UniqueFd& source, const std::filesystem::path& from, const std::filesystem::path& to) {
  const UniqueFd target(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!target.ok()) {
    return ErrnoStatus(errno, "create", to);
  }
  if (ioctl(target.get(), FICLONE, source.get()) == 0) {
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
  const UniqueFd file = OpenToRead(path);
  GRAFT_ASSIGN_OR_RETURN(const int64_t size, RegularSize(file, path));
  if (size == 0) {
    return MappedFile(nullptr, 0);
  }
  void* data = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) {
    return ErrnoStatus(errno, "map", path);
  }
  return MappedFile(static_cast<const uint8_t*>(data), static_cast<size_t>(size));
}

}  // namespace graft
