#include "client/local_files.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace graft {

namespace fs = std::filesystem;

absl::StatusOr<std::vector<std::string>> FilesBelow(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    // Of its own: a link that leads nowhere must not end the walk.
    std::error_code entry;
    if (it->path().filename().string().front() == '.') {
      if (it->is_directory(entry)) {
        it.disable_recursion_pending();
      }
    } else if (it->is_regular_file(entry)) {
      files.push_back(it->path().lexically_relative(folder).generic_string());
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), "list", folder);
  }
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<std::vector<std::string>> ImagesOf(const std::vector<std::string>& arguments) {
  constexpr std::array<absl::string_view, 5> kEndings = {".jpg", ".jpeg", ".png", ".webp", ".bmp"};
  std::vector<std::string> images;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (!fs::is_directory(argument, error)) {
      images.push_back(argument);
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> files, FilesBelow(argument));
    for (const std::string& file : files) {
      const std::string ending = absl::AsciiStrToLower(fs::path(file).extension().string());
      if (std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end()) {
        images.push_back((fs::path(argument) / file).string());
      }
    }
  }
  if (images.empty()) {
    return absl::NotFoundError("there are no images (.jpg, .jpeg, .png, .webp, .bmp) in those folders");
  }
  return images;
}

}  // namespace graft
