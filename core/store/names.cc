#include "core/store/names.h"

#include <algorithm>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxPath = 4096;
constexpr size_t kMaxPart = 255;
constexpr size_t kShown = 200;

bool IsBelow(const fs::path& inner, const fs::path& outer) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace

absl::Status CheckName(absl::string_view field, absl::string_view name) {
  constexpr size_t kMaxName = 63;
  bool good = !name.empty() && name.size() <= kMaxName && absl::ascii_isalnum(static_cast<unsigned char>(name[0]));
  for (const char c : name.substr(0, kMaxName)) {
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-');
  }
  if (!good) {
    return InvalidField(field, absl::StrCat("'", Printable(name, 100),
                                            "' can't be a name; use 1 to 63 letters, digits, '.', '_' or '-', a letter "
                                            "or digit first"));
  }
  return absl::OkStatus();
}

absl::Status CheckRelativePath(absl::string_view field, absl::string_view path) {
  GRAFT_RETURN_IF_ERROR(CheckText(field, path, kMaxPath));
  bool good = path.find('\\') == absl::string_view::npos;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    good = good && !part.empty() && part != "." && part != ".." && part.size() <= kMaxPart;
  }
  if (!good) {
    return InvalidField(field, absl::StrCat("'", Printable(path, kShown),
                                            "' isn't a relative path like cat/1.jpg, without '..' and backslashes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<AllowedFolder> CheckAllowedFolder(absl::string_view field, const std::string& folder,
                                                 absl::Span<const fs::path> allowed) {
  GRAFT_RETURN_IF_ERROR(CheckText(field, folder, kMaxPath));
  const fs::path path(folder);
  if (!path.is_absolute()) {
    return InvalidField(field, absl::StrCat("'", Printable(folder, kShown), "' isn't an absolute path"));
  }
  std::error_code error;
  const fs::path resolved = fs::canonical(path, error);
  // Whether something exists outside of the allowed folders is nobody's business.
  const fs::path judged = error ? path.lexically_normal() : resolved;
  const auto root = std::find_if(allowed.begin(), allowed.end(), [&](const fs::path& r) { return IsBelow(judged, r); });
  if (root == allowed.end()) {
    return absl::PermissionDeniedError(absl::StrCat(
        field, ": '", Printable(folder, kShown),
        "' lies in no folder that this server may read; start graftd with --allow-dir for it, or upload the images"));
  }
  if (error || !fs::is_directory(resolved, error)) {
    return absl::NotFoundError(absl::StrCat(field, ": there is no folder '", Printable(folder, kShown), "'"));
  }
  AllowedFolder found{*root, judged.lexically_relative(*root).generic_string()};
  if (found.relative == ".") {
    found.relative.clear();
  }
  // A link can lead to a name that no message and no document can carry.
  if (!IsCleanText(found.path().string())) {
    return InvalidField(field, absl::StrCat("'", Printable(folder, kShown),
                                            "' leads to a folder whose name holds control or direction characters, or "
                                            "isn't UTF-8; rename that folder"));
  }
  return found;
}

}  // namespace graft
