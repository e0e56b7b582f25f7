#include "core/base/failpoint.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace graft {
namespace {

class FailpointTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_TRUE(SetFailpoints("").ok()); }
};

TEST_F(FailpointTest, OffUnlessNamed) {
  EXPECT_TRUE(Failpoint("disk.write").ok());
  ASSERT_TRUE(SetFailpoints("disk.sync=error").ok());
  EXPECT_TRUE(Failpoint("disk.write").ok());
  EXPECT_EQ(Failpoint("disk.sync").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Failpoint("disk.sync").code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(FailpointTest, AtItsNthTimeOnly) {
  ASSERT_TRUE(SetFailpoints("disk.write=error:2, other=delay").ok());
  EXPECT_TRUE(Failpoint("disk.write").ok());
  EXPECT_FALSE(Failpoint("disk.write").ok());
  EXPECT_TRUE(Failpoint("disk.write").ok());
  EXPECT_TRUE(Failpoint("other").ok());
}

TEST_F(FailpointTest, Kills) {
  EXPECT_EXIT(
      {
        (void)SetFailpoints("disk.write=kill");
        (void)Failpoint("disk.write");
      },
      testing::KilledBySignal(SIGKILL), "");
}

TEST_F(FailpointTest, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"a", "a=explode", "a=kill:x", "="}) {
    EXPECT_EQ(SetFailpoints(text).code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace graft
