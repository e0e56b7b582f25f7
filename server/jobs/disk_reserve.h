// Space for a full disk: a file of zeros that is given up when a job's end can't be written, and made again later.
#ifndef GRAFT_SERVER_JOBS_DISK_RESERVE_H_
#define GRAFT_SERVER_JOBS_DISK_RESERVE_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace graft {

// Bytes that a user may still write below `folder`.
absl::StatusOr<int64_t> FreeBytes(const std::filesystem::path& folder);

// Calls must not overlap.
class DiskReserve {
 public:
  DiskReserve(std::filesystem::path file, int64_t bytes) : file_(std::move(file)), bytes_(bytes) {}

  // Makes the file if it isn't there. RESOURCE_EXHAUSTED: the disk hasn't the room.
  absl::Status Make();
  // Whether there was anything to give up.
  bool GiveUp();

 private:
  const std::filesystem::path file_;
  const int64_t bytes_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_DISK_RESERVE_H_
