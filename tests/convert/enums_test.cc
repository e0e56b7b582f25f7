#include "convert/enums.h"

#include <set>
#include <string>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Every value but UNSPECIFIED is one of core's and another than the rest; a number beyond is refused by `field`.
template <typename Message>
void ExpectConverts(const std::string& field) {
  const google::protobuf::EnumDescriptor& type = *google::protobuf::GetEnumDescriptor<Message>();
  std::set<int> found;
  for (int i = 1; i < type.value_count(); ++i) {
    const auto value = FromProto(static_cast<Message>(type.value(i)->number()));
    ASSERT_THAT(value, IsOk()) << type.value(i)->name();
    EXPECT_TRUE(found.insert(static_cast<int>(*value)).second) << type.value(i)->name();
  }
  EXPECT_EQ(*found.begin(), 0);
  EXPECT_EQ(*found.rbegin(), type.value_count() - 2);
  EXPECT_THAT(FromProto(static_cast<Message>(99)),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr(field + ": '99' is unknown; use "),
                                                                 HasSubstr(EnumName(type, type.value(1)->number())))));
}

TEST(EnumsTest, EveryValueIsOneOfCores) {
  ExpectConverts<v1::Preprocessing>("preprocessing");
  ExpectConverts<v1::Interpolation>("interpolation");
  ExpectConverts<v1::Part>("part");
  ExpectConverts<v1::LabelRule>("split.label_rule");
  ExpectConverts<v1::CopyMode>("split.copy_mode");
}

TEST(EnumsTest, ValuesKeepTheirMeaning) {
  EXPECT_EQ(*FromProto(v1::PREPROCESSING_CAFFE), Preprocessing::kCaffe);
  EXPECT_EQ(*FromProto(v1::INTERPOLATION_AREA), Interpolation::kArea);
  EXPECT_EQ(*FromProto(v1::INTERPOLATION_BICUBIC), Interpolation::kBicubic);
  EXPECT_EQ(*FromProto(v1::INTERPOLATION_BOX), Interpolation::kBox);
  EXPECT_EQ(*FromProto(v1::PART_VALIDATION), Part::kValidation);
  EXPECT_EQ(*FromProto(v1::LABEL_RULE_FOLDER), LabelRule::kFolder);
  EXPECT_TRUE(*FromProto(v1::COPY_MODE_HARD_LINK));
}

TEST(EnumsTest, UnspecifiedIsTheDefaultThatTheProtoNames) {
  EXPECT_EQ(*FromProto(v1::PREPROCESSING_UNSPECIFIED), Preprocessing::kAuto);
  EXPECT_EQ(*FromProto(v1::INTERPOLATION_UNSPECIFIED), Interpolation::kNearest);
  EXPECT_EQ(*FromProto(v1::PART_UNSPECIFIED), Part::kTest);
  EXPECT_EQ(*FromProto(v1::LABEL_RULE_UNSPECIFIED), LabelRule::kFilename);
  EXPECT_FALSE(*FromProto(v1::COPY_MODE_UNSPECIFIED));
}

TEST(EnumsTest, CoresValuesComeBack) {
  for (const Part part : kParts) {
    EXPECT_EQ(*FromProto(ToProto(part)), part);
  }
  for (const Preprocessing preprocessing :
       {Preprocessing::kAuto, Preprocessing::kRescale, Preprocessing::kCaffe, Preprocessing::kTorchvision}) {
    EXPECT_EQ(*FromProto(ToProto(preprocessing)), preprocessing);
    EXPECT_NE(ToProto(preprocessing), v1::PREPROCESSING_UNSPECIFIED);
  }
}

TEST(EnumsTest, ShortNames) {
  const auto& type = *v1::Preprocessing_descriptor();
  EXPECT_EQ(EnumName(type, v1::PREPROCESSING_CAFFE), "caffe");
  EXPECT_EQ(EnumName(type, 99), "99");
  ASSERT_NE(EnumValue(type, "caffe"), nullptr);
  EXPECT_EQ(EnumValue(type, "caffe")->number(), v1::PREPROCESSING_CAFFE);
  EXPECT_EQ(EnumValue(type, "unspecified"), nullptr);
  EXPECT_EQ(EnumValue(type, ""), nullptr);
}

}  // namespace
}  // namespace graft
