#include "core/model/classes.h"

#include "absl/strings/str_cat.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(CheckSameClassesTest, OnlyEqualSetsMeet) {
  EXPECT_THAT(CheckSameClasses({"cat", "dog"}, {"cat", "dog"}), IsOk());
  EXPECT_THAT(CheckSameClasses({"cat", "owl"}, {"cat", "dog"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("dataset"), HasSubstr("(cat, owl)"), HasSubstr("(cat, dog)"),
                             HasSubstr("the model has no 'owl'"), HasSubstr("the data set has no 'dog'"))));
  EXPECT_THAT(CheckSameClasses({"cat"}, {"cat", "dog"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("the data set has no 'dog'"), Not(HasSubstr("the model has no")))));
}

TEST(CheckSameClassesTest, ThousandsOfClassesAreCut) {
  std::vector<std::string> many;
  for (int i = 1000; i < 3000; ++i) {
    many.push_back(absl::StrCat("class ", i, std::string(100, 'x')));
  }
  std::vector<std::string> other = many;
  other.back() = "class 3000";
  const absl::Status status = CheckSameClasses(many, other);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               AllOf(HasSubstr("and 1992 more"), HasSubstr("has no 'class 2999"), HasSubstr("3000"))));
  EXPECT_LT(status.message().size(), 1000U);
}

}  // namespace
}  // namespace graft
