#include "core/base/status.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace graft {

absl::Status InvalidField(absl::string_view field, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", problem));
}

absl::Status Annotate(absl::Status status, absl::string_view context) {
  if (status.ok()) {
    return status;
  }
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

absl::Status FromException(const std::exception& error, absl::string_view context) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat(context, ": out of memory"));
  }
  absl::string_view what = error.what();
  what = what.substr(0, what.find('\n'));
  // LibTorch's allocator throws an error of its own, with the same meaning; so does CUDA's.
  if (absl::StrContains(what, "DefaultCPUAllocator: can't allocate memory") ||
      absl::StrContains(what, "out of memory")) {
    return absl::ResourceExhaustedError(absl::StrCat(context, ": out of memory: ", what));
  }
  return absl::InternalError(absl::StrCat(context, ": ", what));
}

}  // namespace graft
