// Files: whole reads with a bound, durable atomic writes, copies that share blocks, read-only maps.
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

// The whole regular file; INVALID_ARGUMENT when it isn't one (a FIFO never blocks the caller) or is larger than
// `max_bytes`.
absl::StatusOr<std::vector<uint8_t>> ReadFile(const std::filesystem::path& path, int64_t max_bytes);

// A file that appears under its name whole or not at all: written beside it, fsync, rename, fsync of the folder.
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
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_;
};

absl::Status WriteFileAtomic(const std::filesystem::path& path, absl::string_view content);

// Makes the names in a folder durable (after a rename into it).
absl::Status SyncFolder(const std::filesystem::path& folder);

// Copies `from` to the new file `to`, sharing its blocks where the file system can; a failure leaves no `to`.
// ALREADY_EXISTS when it is there already; INVALID_ARGUMENT when `from` isn't a regular file.
absl::Status CopyFile(const std::filesystem::path& from, const std::filesystem::path& to);

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
