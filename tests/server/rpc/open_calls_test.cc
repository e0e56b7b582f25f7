#include "server/rpc/open_calls.h"

#include <optional>
#include <thread>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

using Kind = OpenCalls::Kind;

TEST(OpenCallsTest, EachKindHasItsLimit) {
  OpenCalls calls({1, 2, 1});
  absl::StatusOr<OpenCalls::Ticket> unary = calls.Enter(Kind::kUnary, nullptr);
  ASSERT_THAT(unary, IsOk());
  EXPECT_THAT(calls.Enter(Kind::kUnary, nullptr), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1 calls")));
  std::optional<OpenCalls::Ticket> watch = *calls.Enter(Kind::kWatch, nullptr);
  const OpenCalls::Ticket other = *calls.Enter(Kind::kWatch, nullptr);
  EXPECT_THAT(calls.Enter(Kind::kWatch, nullptr),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("--max-watch-streams")));
  watch.reset();
  EXPECT_THAT(calls.Enter(Kind::kWatch, nullptr), IsOk());
}

TEST(OpenCallsTest, CloseAbortsWhatIsOpenAndLetsNobodyIn) {
  OpenCalls calls({});
  int aborted = 0;
  std::optional<OpenCalls::Ticket> gone = *calls.Enter(Kind::kBulk, [&] { aborted += 100; });
  gone.reset();
  std::optional<OpenCalls::Ticket> open;
  open = *calls.Enter(Kind::kBulk, [&] {
    ++aborted;
    open.reset();  // a call may end at once
  });
  const OpenCalls::Ticket unary = *calls.Enter(Kind::kUnary, nullptr);
  calls.Close();
  EXPECT_EQ(aborted, 1);
  EXPECT_THAT(calls.Enter(Kind::kUnary, nullptr), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_FALSE(calls.AwaitNone(absl::ZeroDuration()));
}

TEST(OpenCallsTest, AwaitNoneSeesTheLastOneGo) {
  OpenCalls calls({});
  EXPECT_TRUE(calls.AwaitNone(absl::ZeroDuration()));
  std::optional<OpenCalls::Ticket> open = *calls.Enter(Kind::kUnary, nullptr);
  std::thread leaving([&] { open.reset(); });
  EXPECT_TRUE(calls.AwaitNone(absl::Seconds(60)));
  leaving.join();
}

}  // namespace
}  // namespace graft
