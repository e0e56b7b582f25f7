#include "convert/enums.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "core/base/status.h"
#include "google/protobuf/generated_enum_reflection.h"

namespace graft {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;

// What the names of all values begin with: PREPROCESSING_UNSPECIFIED without UNSPECIFIED.
absl::string_view Prefix(const EnumDescriptor& type) { return absl::StripSuffix(type.value(0)->name(), "UNSPECIFIED"); }

// Core's value of the same name; `names` has core's, by value.
template <typename Core, typename Message>
absl::StatusOr<Core> Find(absl::string_view field, Message message, const std::vector<absl::string_view>& names,
                          Core unspecified) {
  if (message == 0) {
    return unspecified;
  }
  const std::string name = EnumName(*google::protobuf::GetEnumDescriptor<Message>(), message);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    return InvalidField(field, absl::StrCat("'", name, "' is unknown; use ", absl::StrJoin(names, ", ")));
  }
  return static_cast<Core>(found - names.begin());
}

template <typename Message, typename Core>
Message Make(Core value, const std::vector<absl::string_view>& names) {
  // Never null: a test holds the names to each other.
  return static_cast<Message>(
      EnumValue(*google::protobuf::GetEnumDescriptor<Message>(), names[static_cast<size_t>(value)])->number());
}

}  // namespace

const EnumValueDescriptor* EnumValue(const EnumDescriptor& type, absl::string_view name) {
  const EnumValueDescriptor* const value =
      type.FindValueByName(absl::StrCat(Prefix(type), absl::AsciiStrToUpper(name)));
  return value == nullptr || value->number() == 0 ? nullptr : value;
}

std::string EnumName(const EnumDescriptor& type, int number) {
  const EnumValueDescriptor* const value = type.FindValueByNumber(number);
  return value == nullptr ? absl::StrCat(number)
                          : absl::AsciiStrToLower(absl::StripPrefix(value->name(), Prefix(type)));
}

absl::StatusOr<Preprocessing> FromProto(v1::Preprocessing preprocessing) {
  return Find("preprocessing", preprocessing, EnumNames(&PreprocessingName), Preprocessing::kAuto);
}
absl::StatusOr<Interpolation> FromProto(v1::Interpolation interpolation, Interpolation unset) {
  return Find("interpolation", interpolation, EnumNames(&InterpolationName), unset);
}
absl::StatusOr<Pooling> FromProto(v1::Pooling pooling) {
  return Find("pooling", pooling, EnumNames(&PoolingName), Pooling::kNone);
}
absl::StatusOr<Part> FromProto(v1::Part part) { return Find("part", part, EnumNames(&PartName), Part::kTest); }
absl::StatusOr<LabelRule> FromProto(v1::LabelRule rule) {
  return Find("split.label_rule", rule, {"filename", "folder"}, LabelRule::kFilename);
}
absl::StatusOr<bool> FromProto(v1::CopyMode mode) {
  return Find("split.copy_mode", mode, {"copy", "hard_link"}, false);
}

v1::Preprocessing ToProto(Preprocessing preprocessing) {
  return Make<v1::Preprocessing>(preprocessing, EnumNames(&PreprocessingName));
}
v1::Interpolation ToProto(Interpolation interpolation) {
  return Make<v1::Interpolation>(interpolation, EnumNames(&InterpolationName));
}
v1::LabelRule ToProto(LabelRule rule) { return Make<v1::LabelRule>(rule, {"filename", "folder"}); }
v1::Part ToProto(Part part) { return Make<v1::Part>(part, EnumNames(&PartName)); }

}  // namespace graft
