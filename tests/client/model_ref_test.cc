// Models as people write them.
#include "client/model_ref.h"

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ParseModelTest, NameAndVersionOrAlias) {
  EXPECT_EQ(ParseModel("pets")->name(), "pets");
  EXPECT_EQ(ParseModel("pets")->which_case(), v1::ModelRef::WHICH_NOT_SET);
  EXPECT_EQ(ParseModel("pets@12")->name(), "pets");
  EXPECT_EQ(ParseModel("pets@12")->version(), 12);
  EXPECT_EQ(ParseModel("pets@prod")->alias(), "prod");
  EXPECT_EQ(ParseModel("pets@prod-2.x_y")->alias(), "prod-2.x_y");
  for (const char* text : {"pets@", "pets@_", "pets@0", "pets@-1", "pets@2x", "pets@99999999999", "pets@a@b",
                           "pets@a b", "@2", "@prod", ""}) {
    EXPECT_THAT(ParseModel(text), StatusIs(absl::StatusCode::kInvalidArgument,
                                           AllOf(HasSubstr("'" + std::string(text) + "'"), HasSubstr("pets@2"))));
  }
}

TEST(ParseModelTest, TextsComeBack) {
  for (const char* text : {"pets", "pets@12", "pets@production"}) {
    EXPECT_EQ(ModelText(*ParseModel(text)), text);
  }
}

TEST(ParseModelTest, AVersionWhereTheWholeModelIsMeantHasARemedy) {
  EXPECT_THAT(CheckNoVersion("pets", "leave it out"), IsOk());
  EXPECT_THAT(CheckNoVersion("pets@2", "leave it out"),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("'pets@2'"), HasSubstr("leave it out"))));
}

}  // namespace
}  // namespace graft
