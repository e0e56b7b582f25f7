#include "server/jobs/transitions.h"

#include <set>
#include <utility>
#include <vector>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(TransitionsTest, OnlyTheDiagramsEdgesAreLegal) {
  using enum JobState;
  const std::vector<JobState> states = {kQueued, kRunning, kPublishing, kSucceeded, kFailed, kCancelled};
  const std::set<std::pair<JobState, JobState>> legal = {
      {kQueued, kRunning},    {kQueued, kFailed},        {kQueued, kCancelled},
      {kRunning, kQueued},    {kRunning, kPublishing},   {kRunning, kFailed},
      {kRunning, kCancelled}, {kPublishing, kSucceeded}, {kPublishing, kFailed}};
  for (const JobState from : states) {
    for (const JobState to : states) {
      const absl::Status status = CheckTransition(from, to);
      if (legal.count({from, to}) > 0) {
        EXPECT_THAT(status, IsOk()) << JobStateName(from) << " -> " << JobStateName(to);
      } else {
        EXPECT_THAT(status,
                    StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr(std::string(JobStateName(from))),
                                                                          HasSubstr(std::string(JobStateName(to))))));
      }
    }
  }
}

}  // namespace
}  // namespace graft
