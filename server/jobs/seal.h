// How far the job log had come, in a small file beside it. A database whose last pages or whose write-ahead log got
// lost opens as an older one, without a word; the seal tells.
#ifndef GRAFT_SERVER_JOBS_SEAL_H_
#define GRAFT_SERVER_JOBS_SEAL_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace graft {

struct LogCounts {
  int64_t changes = 0;  // of rows of jobs, since the log was made; rises
  int64_t jobs = 0;     // rows
};

// Two slots in a file of a fixed size, written in turn, each with a SHA-256: a write that is cut short costs only its
// own slot, and a full disk none. Not thread-safe.
class Seal {
 public:
  // Makes the file when it isn't there.
  static absl::StatusOr<std::unique_ptr<Seal>> Open(const std::filesystem::path& path);
  ~Seal();
  Seal(const Seal&) = delete;
  Seal& operator=(const Seal&) = delete;

  // The newest that was written; nullopt: none, or neither slot can be read any more.
  const std::optional<LogCounts>& counts() const { return counts_; }
  // Whether the file holds anything but whole slots and empty ones.
  bool damaged() const { return damaged_; }
  // Durable when it returns OK.
  absl::Status Write(const LogCounts& counts);

 private:
  Seal(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::filesystem::path path_;
  const int fd_;
  std::optional<LogCounts> counts_;
  bool damaged_ = false;
  int next_slot_ = 0;
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_SEAL_H_
