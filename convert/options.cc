#include "convert/options.h"

#include <string>
#include <variant>

#include "convert/enums.h"
#include "core/base/status.h"

namespace graft {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Reflection;

// Never null: a test holds table and message to each other, names and types.
const FieldDescriptor* FieldOf(const OptionField& field) {
  return v1::TrainingOptions::descriptor()->FindFieldByName(std::string(field.name));
}

// Reads a field of a message into a value of its own type.
struct Reader {
  const v1::TrainingOptions& message;
  const FieldDescriptor* field;
  const Reflection* reflection = message.GetReflection();

  void operator()(int& value) const { value = reflection->GetInt32(message, field); }
  void operator()(uint64_t& value) const { value = reflection->GetUInt64(message, field); }
  void operator()(double& value) const { value = reflection->GetDouble(message, field); }
  void operator()(bool& value) const { value = reflection->GetBool(message, field); }
  void operator()(std::string& value) const {
    value = field->enum_type() == nullptr ? reflection->GetString(message, field)
                                          : EnumName(*field->enum_type(), reflection->GetEnumValue(message, field));
  }
};

struct Writer {
  v1::TrainingOptions* message;
  const FieldDescriptor* field;
  const Reflection* reflection = message->GetReflection();

  void operator()(int value) const { reflection->SetInt32(message, field, value); }
  void operator()(uint64_t value) const { reflection->SetUInt64(message, field, value); }
  void operator()(double value) const { reflection->SetDouble(message, field, value); }
  void operator()(bool value) const { reflection->SetBool(message, field, value); }
  void operator()(const std::string& value) const {
    if (field->enum_type() == nullptr) {
      reflection->SetString(message, field, value);
    } else {
      reflection->SetEnum(message, field, EnumValue(*field->enum_type(), value));
    }
  }
};

}  // namespace

absl::StatusOr<TrainingOptions> FromProto(const v1::TrainingOptions& message, const TrainingOptions& defaults) {
  TrainingOptions options = defaults;
  const Reflection* const reflection = message.GetReflection();
  for (const OptionField& field : TrainingOptionFields()) {
    const FieldDescriptor* const descriptor = FieldOf(field);
    const bool unset = !reflection->HasField(message, descriptor) ||
                       (descriptor->enum_type() != nullptr && reflection->GetEnumValue(message, descriptor) == 0);
    if (!unset) {
      OptionValue value = field.get(options);
      std::visit(Reader{message, descriptor}, value);
      GRAFT_RETURN_IF_ERROR(field.set(value, &options));
    }
  }
  GRAFT_RETURN_IF_ERROR(options.Validate());
  return options;
}

v1::TrainingOptions ToProto(const TrainingOptions& options) {
  v1::TrainingOptions message;
  for (const OptionField& field : TrainingOptionFields()) {
    std::visit(Writer{&message, FieldOf(field)}, field.get(options));
  }
  return message;
}

v1::OptionInfo ToProto(const OptionField& field, const Variant& variant) {
  v1::OptionInfo info;
  info.set_name(std::string(field.name));
  info.set_meaning(std::string(field.meaning));
  info.set_range(field.values);
  info.set_default_value(OptionText(field.get(variant.recommended)));
  info.set_reference_value(OptionText(field.get(variant.reference)));
  info.set_unused(WhyUnused(variant, variant.recommended, field.name));
  return info;
}

}  // namespace graft
