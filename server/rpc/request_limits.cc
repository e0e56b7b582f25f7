#include "server/rpc/request_limits.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "google/protobuf/descriptor.h"

namespace graft {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

absl::Status Check(const Message& message, const std::string& prefix, size_t max_bytes) {
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool is_text = field->type() == FieldDescriptor::TYPE_STRING;
    if (!is_text && field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      continue;
    }
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (!is_text) {
        const Message& inner = field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                                    : reflection->GetMessage(message, field);
        GRAFT_RETURN_IF_ERROR(Check(inner, absl::StrCat(prefix, field->name(), "."), max_bytes));
        continue;
      }
      std::string scratch;
      const std::string& text = field->is_repeated()
                                    ? reflection->GetRepeatedStringReference(message, field, i, &scratch)
                                    : reflection->GetStringReference(message, field, &scratch);
      if (text.size() > max_bytes) {
        return InvalidField(absl::StrCat(prefix, field->name()),
                            absl::StrCat("has ", text.size(), " bytes; at most ", max_bytes, " are taken"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckStrings(const Message& request, size_t max_bytes) { return Check(request, "", max_bytes); }

}  // namespace graft
