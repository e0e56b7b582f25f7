#include "client/model_ref.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace graft {
namespace {

bool IsAlias(const std::string& text) {
  return !text.empty() && absl::ascii_isalpha(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
         });
}

}  // namespace

absl::StatusOr<v1::ModelRef> ParseModel(const std::string& text) {
  const size_t at = text.find('@');
  v1::ModelRef model;
  model.set_name(text.substr(0, at));
  bool good = !model.name().empty();
  if (at != std::string::npos) {
    const std::string which = text.substr(at + 1);
    int version = 0;
    if (absl::SimpleAtoi(which, &version) && version > 0) {
      model.set_version(version);
    } else if (IsAlias(which)) {
      model.set_alias(which);
    } else {
      good = false;
    }
  }
  if (!good) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' isn't MODEL, MODEL@VERSION or MODEL@ALIAS, such as pets, pets@2 or pets@production"));
  }
  return model;
}

absl::Status CheckNoVersion(const std::string& text, const std::string& remedy) {
  const size_t at = text.find('@');
  if (at == std::string::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' names a version; ", remedy));
}

std::string ModelText(const v1::ModelRef& model) {
  switch (model.which_case()) {
    case v1::ModelRef::kVersion:
      return absl::StrCat(model.name(), "@", model.version());
    case v1::ModelRef::kAlias:
      return absl::StrCat(model.name(), "@", model.alias());
    case v1::ModelRef::WHICH_NOT_SET:
      break;
  }
  return model.name();
}

}  // namespace graft
