// Names and paths that callers give, checked before anything is made of them. All errors are INVALID_ARGUMENT unless
// said otherwise, name the field, and show of the server's own paths only what the caller sent.
#ifndef GRAFT_CORE_STORE_NAMES_H_
#define GRAFT_CORE_STORE_NAMES_H_

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace graft {

// [A-Za-z0-9][A-Za-z0-9._-]{0,62}: safe as a folder's name.
absl::Status CheckName(absl::string_view field, absl::string_view name);

// A relative path with forward slashes: clean UTF-8, no "..", "." or empty part, at most 4,096 bytes, 255 a part.
absl::Status CheckRelativePath(absl::string_view field, absl::string_view path);

// A folder below one that the server may read. Kept as the two, so that whoever opens it later can hold it to the root
// again: links may have changed in between.
struct AllowedFolder {
  std::filesystem::path root;  // one of the allowed folders
  std::string relative;        // below it, links resolved, with forward slashes; empty: the root itself

  std::filesystem::path path() const { return relative.empty() ? root : root / relative; }
};

// The folder of this absolute path, links resolved, when it is one of `allowed` (canonical) or lies below it. Also
// NOT_FOUND, and PERMISSION_DENIED for everything outside, whether it exists or not.
absl::StatusOr<AllowedFolder> CheckAllowedFolder(absl::string_view field, const std::string& folder,
                                                 absl::Span<const std::filesystem::path> allowed);

}  // namespace graft

#endif  // GRAFT_CORE_STORE_NAMES_H_
