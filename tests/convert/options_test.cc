// The table of options and the message's descriptor say the same.
#include "convert/options.h"

#include <limits>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "convert/convert.h"
#include "convert/enums.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// The type of field that takes an option's values.
FieldDescriptor::CppType TypeOf(const OptionField& field) {
  constexpr FieldDescriptor::CppType kTypes[] = {FieldDescriptor::CPPTYPE_INT32, FieldDescriptor::CPPTYPE_UINT64,
                                                 FieldDescriptor::CPPTYPE_DOUBLE, FieldDescriptor::CPPTYPE_BOOL,
                                                 FieldDescriptor::CPPTYPE_STRING};
  return field.names.empty() ? kTypes[field.get(TrainingOptions()).index()] : FieldDescriptor::CPPTYPE_ENUM;
}

TEST(ConvertOptionsTest, TableAndMessageHaveTheSameFieldsOfTheSameTypes) {
  const auto* const descriptor = v1::TrainingOptions::descriptor();
  std::set<std::string> in_message;
  for (int i = 0; i < descriptor->field_count(); ++i) {
    in_message.insert(descriptor->field(i)->name());
  }
  std::set<std::string> in_table;
  for (const OptionField& field : TrainingOptionFields()) {
    SCOPED_TRACE(std::string(field.name));
    in_table.insert(std::string(field.name));
    const FieldDescriptor* const found = descriptor->FindFieldByName(std::string(field.name));
    ASSERT_NE(found, nullptr) << "v1.TrainingOptions has no such field";
    EXPECT_EQ(found->cpp_type(), TypeOf(field)) << found->cpp_type_name();
    EXPECT_TRUE(found->has_presence()) << "it must be optional";
    if (found->enum_type() != nullptr) {
      std::set<std::string> names;
      for (int i = 1; i < found->enum_type()->value_count(); ++i) {
        names.insert(EnumName(*found->enum_type(), found->enum_type()->value(i)->number()));
      }
      EXPECT_EQ(names, std::set<std::string>(field.names.begin(), field.names.end()));
    }
  }
  EXPECT_EQ(in_message, in_table);
}

TEST(ConvertOptionsTest, EveryValueComesBack) {
  TrainingOptions options;
  int turn = 0;
  for (const OptionField& field : TrainingOptionFields()) {
    OptionValue value = field.get(options);
    if (!field.names.empty()) {
      value = std::string(field.names.back());
    } else if (int* const number = std::get_if<int>(&value)) {
      *number = static_cast<int>(field.range->low) + 40 + turn++;
    } else if (double* const real = std::get_if<double>(&value)) {
      *real = 0.125 + 0.001 * turn++;
    } else if (bool* const flag = std::get_if<bool>(&value)) {
      *flag = !*flag;
    } else if (std::holds_alternative<uint64_t>(value)) {
      value = std::numeric_limits<uint64_t>::max();
    } else {
      value = field.name == "class_weights" ? "balanced" : "cuda:3";
    }
    ASSERT_NE(value, field.get(options)) << field.name;
    ASSERT_THAT(field.set(value, &options), IsOk());
  }
  const v1::TrainingOptions message = ToProto(options);
  ASSERT_OK_AND_ASSIGN(const TrainingOptions back, FromProto(message, TrainingOptions()));
  for (const OptionField& field : TrainingOptionFields()) {
    EXPECT_EQ(field.get(back), field.get(options)) << field.name;
  }
  EXPECT_EQ(message.epochs(), options.epochs);
  EXPECT_EQ(message.optimizer(), v1::OPTIMIZER_ADAMW);
  EXPECT_EQ(message.augment_shear(), options.augmentation.shear);
  EXPECT_EQ(message.seed(), std::numeric_limits<uint64_t>::max());
}

TEST(ConvertOptionsTest, UnsetKeepsTheDefaultAndZeroIsSet) {
  TrainingOptions defaults;
  defaults.dropout = 0.3;
  defaults.optimizer = OptimizerKind::kAdam;
  v1::TrainingOptions message;
  message.set_epochs(7);
  message.set_optimizer(v1::OPTIMIZER_UNSPECIFIED);
  ASSERT_OK_AND_ASSIGN(TrainingOptions options, FromProto(message, defaults));
  EXPECT_EQ(options.epochs, 7);
  EXPECT_EQ(options.dropout, 0.3);
  EXPECT_EQ(options.optimizer, OptimizerKind::kAdam);
  message.set_dropout(0);
  ASSERT_OK_AND_ASSIGN(options, FromProto(message, defaults));
  EXPECT_EQ(options.dropout, 0);
}

TEST(ConvertOptionsTest, AnUnknownNumberOfAnEnumIsRefusedByName) {
  const auto* const descriptor = v1::TrainingOptions::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* const field = descriptor->field(i);
    if (field->enum_type() != nullptr) {
      v1::TrainingOptions message;
      message.GetReflection()->SetEnumValue(&message, field, 99);
      EXPECT_THAT(FromProto(message, TrainingOptions()),
                  StatusIs(kInvalid, AllOf(HasSubstr("options." + field->name() + ": '99' is unknown; use "),
                                           HasSubstr(EnumName(*field->enum_type(), 1)))));
    }
  }
}

TEST(ConvertOptionsTest, RangesHoldForMessages) {
  v1::TrainingOptions message;
  message.set_rho(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(FromProto(message, TrainingOptions()), StatusIs(kInvalid, HasSubstr("options.rho: nan is out of range")));
  message.set_rho(0.5);
  EXPECT_THAT(FromProto(message, TrainingOptions()), IsOk());
  message.set_batch_size(0);
  EXPECT_THAT(FromProto(message, TrainingOptions()), StatusIs(kInvalid, HasSubstr("options.batch_size: 0")));
}

TEST(ConvertOptionsTest, AVariantTellsItsOptions) {
  for (const Variant& variant : Variants()) {
    const v1::Variant message = ToProto(variant);
    ASSERT_EQ(message.options_size(), static_cast<int>(TrainingOptionFields().size()));
    EXPECT_EQ(message.options(0).name(), "epochs");
    EXPECT_EQ(message.options(0).range(), "1 to 10000");
    EXPECT_EQ(message.options(0).meaning(), "Passes over the training images.");
    for (const v1::OptionInfo& option : message.options()) {
      if (option.name() == "dropout") {
        EXPECT_EQ(option.default_value(), OptionText(variant.recommended.dropout));
      }
    }
  }
}

}  // namespace
}  // namespace graft
