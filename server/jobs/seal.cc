#include "server/jobs/seal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/failpoint.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status.h"

namespace graft {
namespace {

constexpr int kSlots = 2;
constexpr size_t kSlotBytes = 256;

std::string SlotText(const LogCounts& counts) {
  const std::string content = absl::StrFormat("graft job log\nchanges %d\njobs %d\n", counts.changes, counts.jobs);
  std::string slot = absl::StrCat(content, Sha256Hex(content), "\n");
  slot.resize(kSlotBytes, ' ');
  return slot;
}

std::optional<LogCounts> ParseSlot(absl::string_view slot) {
  const std::vector<absl::string_view> lines = absl::StrSplit(slot, '\n');
  LogCounts counts;
  constexpr size_t kChanges = sizeof("changes ") - 1;
  constexpr size_t kJobs = sizeof("jobs ") - 1;
  if (lines.size() < 4 || lines[1].size() < kChanges || lines[2].size() < kJobs ||
      !absl::SimpleAtoi(lines[1].substr(kChanges), &counts.changes) ||
      !absl::SimpleAtoi(lines[2].substr(kJobs), &counts.jobs) || SlotText(counts) != slot) {
    return std::nullopt;
  }
  return counts;
}

}  // namespace

Seal::~Seal() { close(fd_); }

absl::StatusOr<std::unique_ptr<Seal>> Seal::Open(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    GRAFT_RETURN_IF_ERROR(WriteFileAtomic(path, std::string(kSlots * kSlotBytes, ' ')));
  }
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    return ErrnoStatus(errno, "open", path);
  }
  std::unique_ptr<Seal> seal(new Seal(path, fd));
  for (int i = 0; i < kSlots; ++i) {
    std::string slot(kSlotBytes, ' ');
    const ssize_t read = pread(fd, slot.data(), slot.size(), static_cast<off_t>(i * kSlotBytes));
    if (read < 0) {
      return ErrnoStatus(errno, "read", path);
    }
    const std::optional<LogCounts> counts = ParseSlot(slot);
    if (!counts.has_value()) {
      seal->damaged_ =
          seal->damaged_ || read < static_cast<ssize_t>(kSlotBytes) || slot != std::string(kSlotBytes, ' ');
    } else if (!seal->counts_.has_value() || counts->changes > seal->counts_->changes) {
      seal->counts_ = counts;
      seal->next_slot_ = (i + 1) % kSlots;
    }
  }
  return seal;
}

absl::Status Seal::Write(const LogCounts& counts) {
  GRAFT_RETURN_IF_ERROR(Failpoint("seal.write"));
  const std::string slot = SlotText(counts);
  const ssize_t written = pwrite(fd_, slot.data(), slot.size(), static_cast<off_t>(next_slot_ * kSlotBytes));
  if (written != static_cast<ssize_t>(slot.size())) {
    return ErrnoStatus(written < 0 ? errno : EIO, "write", path_);
  }
  if (fdatasync(fd_) != 0) {
    return ErrnoStatus(errno, "sync", path_);
  }
  counts_ = counts;
  next_slot_ = (next_slot_ + 1) % kSlots;
  return absl::OkStatus();
}

}  // namespace graft
