// Files: whole reads with a bound, durable atomic writes, copies that share blocks, read-only maps. What is made here
// is for its owner only: files have mode 0600, folders 0700.
//
// Errors carry the path and the system's reason: NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (disk full) or
// INTERNAL.
#ifndef GRAFT_CORE_BASE_FILE_H_
#define GRAFT_CORE_BASE_FILE_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace graft {

// The Status for errno after a system call on `path` failed.
absl::Status ErrnoStatus(int error, absl::string_view what, const std::filesystem::path& path);

// An open file descriptor, closed at its end; -1 is none.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd();

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  int Release();

 private:
  int fd_ = -1;
};

// The whole regular file; INVALID_ARGUMENT when it isn't one (a FIFO never blocks the caller) or is larger than
// `max_bytes`; RESOURCE_EXHAUSTED without memory for it.
absl::StatusOr<std::vector<uint8_t>> ReadFile(const std::filesystem::path& path, int64_t max_bytes);
// The same for a file that is open; `path` is for messages.
absl::StatusOr<std::vector<uint8_t>> ReadFile(const UniqueFd& file, const std::filesystem::path& path,
                                              int64_t max_bytes);

// A file that appears under its name whole or not at all: written beside it, fsync, rename, fsync of the folder. Until
// then it is called NAME.PID.NUMBER.tmp and locked, so that SweepTemporaries can tell it from what a killed process
// left.
class AtomicFile {
 public:
  static absl::StatusOr<AtomicFile> Create(const std::filesystem::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  // Removes what was written when Commit wasn't reached.
  ~AtomicFile();

  absl::Status Write(absl::Span<const uint8_t> bytes);
  absl::Status Write(absl::string_view text);
  // Overwrites bytes that were written already.
  absl::Status WriteAt(int64_t offset, absl::string_view text);
  absl::Status Commit();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, UniqueFd fd);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  UniqueFd fd_;
};

absl::Status WriteFileAtomic(const std::filesystem::path& path, absl::string_view content);

// Removes from a folder (not from those in it) the temporary files of AtomicFile whose writer is no longer there.
void SweepTemporaries(const std::filesystem::path& folder);

// Makes the names in a folder durable (after a rename into it).
absl::Status SyncFolder(const std::filesystem::path& folder);

// Makes everything durable that was written to the file system that holds `path`: cheaper than a sync for each of
// thousands of new files.
absl::Status SyncFileSystem(const std::filesystem::path& path);

// A folder and those above it, where they aren't there yet.
absl::Status CreateFolders(const std::filesystem::path& folder);

// Copies a regular file that is open to the new file `to`, sharing its blocks where the file system can; a failure
// leaves no `to`. ALREADY_EXISTS when it is there already. `from` is for messages.
absl::Status CopyFile(const UniqueFd& source, const std::filesystem::path& from, const std::filesystem::path& to);

// A read-only memory map. Who maps a file trusts that nobody truncates it meanwhile.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  absl::Span<const uint8_t> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  const uint8_t* data_;
  size_t size_;
};

}  // namespace graft

#endif  // GRAFT_CORE_BASE_FILE_H_
