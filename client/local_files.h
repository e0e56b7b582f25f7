// Files on this machine that are sent to the server.
#ifndef GRAFT_CLIENT_LOCAL_FILES_H_
#define GRAFT_CLIENT_LOCAL_FILES_H_

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace graft {

// Regular files below a folder, or what symbolic links there lead to, as relative paths with '/', sorted. Hidden ones
// and hidden folders are left out, folders behind links are not entered. An error when a folder can't be read.
absl::StatusOr<std::vector<std::string>> FilesBelow(const std::filesystem::path& folder);

// Files as they are named, folders as the images below them (by their ending). NOT_FOUND when that is nothing.
absl::StatusOr<std::vector<std::string>> ImagesOf(const std::vector<std::string>& arguments);

}  // namespace graft

#endif  // GRAFT_CLIENT_LOCAL_FILES_H_
