#include "server/handlers/paging.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {

absl::StatusOr<int> PageSize(int requested) {
  constexpr int kDefault = 50;
  constexpr int kMost = 1000;
  if (requested < 0) {
    return InvalidField("page_size", absl::StrCat(requested, " is negative; use 1 to 1,000, or 0 for 50"));
  }
  return requested == 0 ? kDefault : std::min(requested, kMost);
}

absl::StatusOr<int64_t> PageToken(const std::string& token) {
  int64_t value = 0;
  if (!token.empty() && (!absl::SimpleAtoi(token, &value) || value < 1)) {
    return InvalidField("page_token", "isn't one that this server gave out; take next_page_token from the last answer");
  }
  return value;
}

}  // namespace graft
