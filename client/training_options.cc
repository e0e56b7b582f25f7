#include "client/training_options.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

// PREPROCESSING_UNSPECIFIED minus UNSPECIFIED: what all values of an enum begin with.
std::string Prefix(const EnumDescriptor& type) {
  const std::string& first = type.value(0)->name();
  return first.substr(0, first.size() - std::string("UNSPECIFIED").size());
}

}  // namespace

std::vector<std::string> ShortNames(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 1; i < type.value_count(); ++i) {
    names.push_back(ShortName(type, type.value(i)->number()));
  }
  return names;
}

std::string ShortName(const EnumDescriptor& type, int value) {
  const auto* descriptor = type.FindValueByNumber(value);
  if (descriptor == nullptr) {
    return absl::StrCat(value);
  }
  return absl::AsciiStrToLower(descriptor->name().substr(Prefix(type).size()));
}

absl::StatusOr<int> EnumByShortName(const EnumDescriptor& type, const std::string& name) {
  const auto* value = type.FindValueByName(Prefix(type) + absl::AsciiStrToUpper(name));
  if (value == nullptr || value->number() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' is unknown; use ", absl::StrJoin(ShortNames(type), ", ")));
  }
  return value->number();
}

std::vector<std::string> TrainingOptionKeys() {
  std::vector<std::string> keys;
  const auto* descriptor = v1::TrainingOptions::descriptor();
  keys.reserve(static_cast<size_t>(descriptor->field_count()));
  for (int i = 0; i < descriptor->field_count(); ++i) {
    keys.push_back(descriptor->field(i)->name());
  }
  return keys;
}

absl::Status SetTrainingOption(const std::string& assignment, v1::TrainingOptions* options) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos) {
    return InvalidField("--set", absl::StrCat("'", assignment, "' isn't KEY=VALUE, such as epochs=10"));
  }
  const std::string key = assignment.substr(0, equals);
  const std::string value = assignment.substr(equals + 1);
  const FieldDescriptor* field = v1::TrainingOptions::descriptor()->FindFieldByName(key);
  if (field == nullptr) {
    const std::vector<std::string> near = NearNames(key, TrainingOptionKeys());
    return InvalidField(
        "--set", absl::StrCat("there is no option '", key, "'; ",
                              near.empty() ? "" : absl::StrCat("did you mean ", absl::StrJoin(near, " or "), "? "),
                              "use one of ", absl::StrJoin(TrainingOptionKeys(), ", ")));
  }
  const auto* reflection = options->GetReflection();
  const auto bad = [&](absl::string_view kind) {
    return InvalidField(absl::StrCat("--set ", key), absl::StrCat("'", value, "' isn't ", kind));
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t number = 0;
      if (!absl::SimpleAtoi(value, &number)) {
        return bad("a whole number");
      }
      reflection->SetInt32(options, field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t number = 0;
      if (!absl::SimpleAtoi(value, &number)) {
        return bad("a whole number from 0 on");
      }
      reflection->SetUInt64(options, field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double number = 0;
      if (!absl::SimpleAtod(value, &number)) {
        return bad("a number");
      }
      reflection->SetDouble(options, field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool flag = false;
      if (!absl::SimpleAtob(value, &flag)) {
        return bad("true or false");
      }
      reflection->SetBool(options, field, flag);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const absl::StatusOr<int> number = EnumByShortName(*field->enum_type(), value);
      if (!number.ok()) {
        return Annotate(number.status(), absl::StrCat("--set ", key));
      }
      reflection->SetEnumValue(options, field, *number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_STRING:
      reflection->SetString(options, field, value);
      return absl::OkStatus();
    default:
      return bad("of a type that this graft knows");
  }
}

absl::Status SetAugmentation(const std::string& assignment, v1::TrainingOptions* options) {
  constexpr absl::string_view kPrefix = "augment_";
  const std::string whole = absl::StartsWith(assignment, kPrefix) ? assignment : absl::StrCat(kPrefix, assignment);
  const std::string key = whole.substr(0, whole.find('='));
  if (key.size() == whole.size()) {
    return InvalidField("--augment", absl::StrCat("'", assignment, "' isn't KEY=VALUE, such as rotation=40"));
  }
  if (v1::TrainingOptions::descriptor()->FindFieldByName(key) == nullptr) {
    std::vector<std::string> keys;
    for (const std::string& option : TrainingOptionKeys()) {
      if (absl::StartsWith(option, kPrefix)) {
        keys.push_back(option.substr(kPrefix.size()));
      }
    }
    return InvalidField("--augment", absl::StrCat("there is no '", key.substr(kPrefix.size()), "'; use one of ",
                                                  absl::StrJoin(keys, ", ")));
  }
  return SetTrainingOption(whole, options);
}

std::vector<std::pair<std::string, std::string>> TrainingOptionValues(const v1::TrainingOptions& options) {
  std::vector<std::pair<std::string, std::string>> values;
  const auto* descriptor = v1::TrainingOptions::descriptor();
  const auto* reflection = options.GetReflection();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (!reflection->HasField(options, field)) {
      continue;
    }
    std::string text;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        text = absl::StrCat(reflection->GetInt32(options, field));
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        text = absl::StrCat(reflection->GetUInt64(options, field));
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        text = absl::StrFormat("%g", reflection->GetDouble(options, field));
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        text = reflection->GetBool(options, field) ? "true" : "false";
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        text = ShortName(*field->enum_type(), reflection->GetEnumValue(options, field));
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        text = reflection->GetString(options, field);
        break;
      default:
        break;
    }
    values.emplace_back(field->name(), text);
  }
  return values;
}

absl::Status SetSplitSizes(const std::string& train, const std::string& validation, const std::string& test,
                           v1::SplitSpec* split) {
  struct Size {
    std::optional<int64_t> count;
    double fraction = 0;
  };
  std::vector<Size> sizes;
  for (const auto& [name, text] : {std::pair{"--train", train}, {"--validation", validation}, {"--test", test}}) {
    Size size;
    int64_t count = 0;
    bool good = true;
    if (absl::EndsWith(text, "%")) {
      good = absl::SimpleAtod(text.substr(0, text.size() - 1), &size.fraction);
      size.fraction /= 100;
    } else if (absl::SimpleAtoi(text, &count)) {
      good = count >= 0;
      size.count = count;
    } else {
      good = absl::SimpleAtod(text, &size.fraction);
    }
    if (!good || !(size.fraction >= 0 && size.fraction <= 1)) {
      return InvalidField(
          name, absl::StrCat("'", text, "' is neither a number of images a class (1500) nor a share (0.6 or 60%)"));
    }
    sizes.push_back(size);
  }
  // 0 is both.
  const auto is_count = [](const Size& size) { return size.count.has_value() && *size.count != 0; };
  const auto is_fraction = [](const Size& size) { return !size.count.has_value(); };
  bool counts = false;
  bool fractions = false;
  for (const Size& size : sizes) {
    counts = counts || is_count(size);
    fractions = fractions || is_fraction(size);
  }
  if (counts && fractions) {
    return InvalidField("--train, --validation, --test",
                        "numbers of images and shares are mixed; use one kind for all three");
  }
  if (fractions) {
    split->mutable_fractions()->set_train(sizes[0].fraction);
    split->mutable_fractions()->set_validation(sizes[1].fraction);
    split->mutable_fractions()->set_test(sizes[2].fraction);
  } else {
    split->mutable_counts()->set_train(sizes[0].count.value_or(0));
    split->mutable_counts()->set_validation(sizes[1].count.value_or(0));
    split->mutable_counts()->set_test(sizes[2].count.value_or(0));
  }
  return absl::OkStatus();
}

}  // namespace graft
