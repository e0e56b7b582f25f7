#include "client/event_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/crc32c.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

// TensorBoard reads what has "tfevents" in its name, and nothing else: temporary files must not.
constexpr char kFile[] = "events.out.tfevents.graft";
constexpr char kTemporary[] = "unfinished";

// The bytes of `value`, the lowest first.
template <typename Integer>
std::string LittleEndian(Integer value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(value); ++i) {
    bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  }
  return bytes;
}

// Of TFRecords: a checksum of bytes that hold checksums is weak, so theirs are turned and moved.
std::string MaskedChecksum(absl::string_view bytes) {
  const uint32_t checksum = Crc32c(bytes);
  return LittleEndian(((checksum >> 15) | (checksum << 17)) + 0xA282EAD8U);
}

}  // namespace

std::string EventRecord(absl::string_view bytes) {
  const std::string length = LittleEndian(uint64_t{bytes.size()});
  return absl::StrCat(length, MaskedChecksum(length), bytes, MaskedChecksum(bytes));
}

absl::StatusOr<EventFile> EventFile::Open(const fs::path& folder) {
  GRAFT_RETURN_IF_ERROR(CreateFolders(folder));
  UniqueFd dir(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.ok()) {
    return ErrnoStatus(errno, "open", folder);
  }
  // Where a file system knows no locks, nobody is kept out.
  if (flock(dir.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return absl::FailedPreconditionError(
        absl::StrCat("another graft is writing in ", Printable(folder.string()), "; end it, or use another --out"));
  }
  SweepTemporaries(folder);
  return EventFile(folder / kFile, std::move(dir));
}

absl::Status EventFile::Add(const tensorboard::Event& event) {
  const std::string record = EventRecord(event.SerializeAsString());
  if (published()) {
    return Append(record);
  }
  pending_ += record;
  return absl::OkStatus();
}

absl::Status EventFile::Publish() {
  const std::string all = std::exchange(pending_, "");
  UniqueFd old(open(path_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (old.ok()) {
    const absl::StatusOr<std::vector<uint8_t>> there = ReadFile(old, path_, static_cast<int64_t>(all.size()));
    if (there.ok() &&
        absl::StartsWith(all, absl::string_view(reinterpret_cast<const char*>(there->data()), there->size()))) {
      file_ = std::move(old);
      return Append(absl::string_view(all).substr(there->size()));
    }
  }
  return Replace(all);
}

absl::Status EventFile::Replace(absl::string_view bytes) {
  const fs::path temporary = path_.parent_path() / kTemporary;
  GRAFT_RETURN_IF_ERROR(WriteFileAtomic(temporary, bytes));
  if (rename(temporary.c_str(), path_.c_str()) != 0) {
    const absl::Status status = ErrnoStatus(errno, "rename to", path_);
    unlink(temporary.c_str());
    return status;
  }
  file_ = UniqueFd(open(path_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  if (!file_.ok()) {
    return ErrnoStatus(errno, "open", path_);
  }
  return SyncFolder(path_.parent_path());
}

absl::Status EventFile::Append(absl::string_view bytes) {
  struct stat before {};
  if (fstat(file_.get(), &before) != 0) {
    return ErrnoStatus(errno, "read", path_);
  }
  while (!bytes.empty()) {
    const ssize_t n = write(file_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      absl::Status status = ErrnoStatus(errno, "write", path_);
      // Should even that fail, the start of a record stays, which readers and the next run know how to take.
      [[maybe_unused]] const int cut = ftruncate(file_.get(), before.st_size);
      return status;
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status EventFile::Sync() {
  return fsync(file_.get()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "sync", path_);
}

}  // namespace graft
