// Folders that others may write to while we read them: nothing is opened through a symbolic link, nor outside of the
// folder, whatever is renamed or swapped meanwhile.
#ifndef GRAFT_CORE_BASE_DIR_H_
#define GRAFT_CORE_BASE_DIR_H_

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"

namespace graft {

struct TreeOptions {
  // Of files, and of folders.
  int64_t max_files = std::numeric_limits<int64_t>::max();
  // Names that start with a dot, and what is in such folders.
  bool hidden = false;
};

// A regular file of a tree.
struct TreeFile {
  std::string path;  // below the tree's folder, with forward slashes
  int64_t bytes = 0;
};

// Thread-safe. Holds the folder open, so it stays the same one when its name is given to another.
//
// Paths given to it are relative to it. PERMISSION_DENIED: a symbolic link stands in the way, or the path leads out (an
// absolute one, or "..", anywhere in it).
class SourceFolder {
 public:
  // How paths are followed: by the kernel in one call (Linux 5.6), step by step, or by the first where it can.
  enum class Following { kBest, kKernel, kSteps };

  // Opens `root`, which is trusted and may lead through links, and then the folder at `relative` below it, which isn't;
  // "" is the root itself. NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT when it isn't a folder.
  static absl::StatusOr<SourceFolder> Open(const std::filesystem::path& root,
                                           const std::filesystem::path& relative = {},
                                           Following following = Following::kBest);

  const std::filesystem::path& path() const { return path_; }

  // A regular file, to be read. INVALID_ARGUMENT when it isn't one; a FIFO never blocks the caller.
  absl::StatusOr<UniqueFd> OpenFile(const std::filesystem::path& relative) const;
  // INVALID_ARGUMENT also above `max_bytes`.
  absl::StatusOr<std::vector<uint8_t>> Read(const std::filesystem::path& relative, int64_t max_bytes) const;
  // To the new file `to`, as CopyFile and, for LinkTo, as a second name of the same file. FAILED_PRECONDITION: `to` is
  // on another file system; ABORTED: the name stood for another file in the moment of linking.
  absl::Status CopyTo(const std::filesystem::path& relative, const std::filesystem::path& to) const;
  absl::Status LinkTo(const std::filesystem::path& relative, const std::filesystem::path& to) const;

  // All regular files, sorted by the bytes of their paths. RESOURCE_EXHAUSTED above max_files.
  absl::StatusOr<std::vector<TreeFile>> List(const TreeOptions& options = {}) const;

 private:
  SourceFolder(std::filesystem::path path, UniqueFd fd, Following following);

  absl::StatusOr<UniqueFd> OpenBelow(const std::string& relative, int flags) const;

  std::filesystem::path path_;
  UniqueFd fd_;
  Following following_;
};

// The same for a folder of which every part is trusted.
absl::StatusOr<std::vector<TreeFile>> ListTree(const std::filesystem::path& folder, const TreeOptions& options = {});

}  // namespace graft

#endif  // GRAFT_CORE_BASE_DIR_H_
