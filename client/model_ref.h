// Models as people write them: pets (the newest version), pets@3, pets@production (an alias).
#ifndef GRAFT_CLIENT_MODEL_REF_H_
#define GRAFT_CLIENT_MODEL_REF_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "graft/v1/common.pb.h"

namespace graft {

// What --help says of such an argument.
inline constexpr char kModelHelp[] = "MODEL (its newest version), MODEL@VERSION or MODEL@ALIAS";

// INVALID_ARGUMENT names the text and the forms that there are. What a name may hold is the server's to say.
absl::StatusOr<v1::ModelRef> ParseModel(const std::string& text);

// INVALID_ARGUMENT when `text` names one version where the whole model is meant; `remedy` follows.
absl::Status CheckNoVersion(const std::string& text, const std::string& remedy);

// And back: "pets@3".
std::string ModelText(const v1::ModelRef& model);

}  // namespace graft

#endif  // GRAFT_CLIENT_MODEL_REF_H_
