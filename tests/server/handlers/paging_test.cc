#include "server/handlers/paging.h"

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

TEST(PagingTest, SizesAreBounded) {
  EXPECT_EQ(PageSize(0).value(), 50);
  EXPECT_EQ(PageSize(1).value(), 1);
  EXPECT_EQ(PageSize(1000).value(), 1000);
  EXPECT_EQ(PageSize(1001).value(), 1000);
  EXPECT_THAT(PageSize(-1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_size: -1")));
}

TEST(PagingTest, ATokenIsOneThatWasGivenOut) {
  EXPECT_EQ(PageToken("").value(), 0);
  EXPECT_EQ(PageToken("17").value(), 17);
  for (const std::string& token : {std::string("0"), std::string("-1"), std::string("x"), std::string("1x"),
                                   std::string("99999999999999999999"), std::string(1 << 20, '1')}) {
    EXPECT_THAT(PageToken(token), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_token")));
  }
}

}  // namespace
}  // namespace graft
