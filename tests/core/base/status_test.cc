#include "core/base/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

TEST(FromExceptionTest, MemoryThatIsntThereIsExhausted) {
  EXPECT_THAT(FromException(std::bad_alloc(), "decoding"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("decoding: out of memory")));
  // LibTorch's words, a stack trace behind them.
  const std::runtime_error torch(
      "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
      "4000000000000 bytes. Error code 12 (Cannot allocate memory)\nframe #0: c10::alloc_cpu");
  EXPECT_THAT(FromException(torch, "training"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("4000000000000")));
}

TEST(FromExceptionTest, OtherErrorsKeepTheirFirstLine) {
  const absl::Status status = FromException(std::runtime_error("shapes differ\nframe #0"), "training");
  EXPECT_EQ(status, absl::InternalError("training: shapes differ"));
}

}  // namespace
}  // namespace graft
