#include "server/options.h"

#include <functional>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

TEST(ServerOptionsTest, OnlyLoopbackAndSaneNumbers) {
  const auto check = [](const std::function<void(ServerOptions*)>& change) {
    ServerOptions options;
    options.data_dir = "data";
    change(&options);
    return options.Resolve();
  };
  EXPECT_THAT(check([](ServerOptions*) {}), IsOk());
  EXPECT_THAT(check([](ServerOptions* o) { o->listen = "[::1]:0"; }), IsOk());
  for (const char* address : {"0.0.0.0:7077", "192.0.2.1:1", "[::]:1", "example.org:1", "127.example.org:1", "127.1:1",
                              "127.0.0.1.example.org:1"}) {
    EXPECT_THAT(check([&](ServerOptions* o) { o->listen = address; }),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("loopback")));
  }
  for (const char* address : {"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"}) {
    EXPECT_THAT(check([&](ServerOptions* o) { o->listen = address; }),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--listen")));
  }
  for (const char* address : {"127.8.9.1:0", "localhost:80"}) {
    EXPECT_THAT(check([&](ServerOptions* o) { o->listen = address; }), IsOk());
  }
  EXPECT_THAT(check([](ServerOptions* o) { o->max_request_mib = 16; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--max-request-mib")));
  EXPECT_THAT(check([](ServerOptions* o) { o->max_running_jobs = 0; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--max-running-jobs")));
  EXPECT_THAT(check([](ServerOptions* o) { o->allow_dirs = {"/no/such"}; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--allow-dir")));
  EXPECT_THAT(check([](ServerOptions* o) { o->data_dir = ""; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--data-dir")));
}

}  // namespace
}  // namespace graft
