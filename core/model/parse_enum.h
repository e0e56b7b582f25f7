// Enums that documents name.
#ifndef GRAFT_CORE_MODEL_PARSE_ENUM_H_
#define GRAFT_CORE_MODEL_PARSE_ENUM_H_

#include <algorithm>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/model/options.h"

namespace graft {

// The value of this name, as EnumNames lists them; DATA_LOSS.
template <typename Enum>
absl::StatusOr<Enum> ParseEnum(absl::string_view field, absl::string_view text, absl::string_view (*name)(Enum)) {
  const std::vector<absl::string_view> names = EnumNames(name);
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) {
    return absl::DataLossError(absl::StrCat(field, ": '", text, "' is unknown"));
  }
  return static_cast<Enum>(found - names.begin());
}

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_PARSE_ENUM_H_
