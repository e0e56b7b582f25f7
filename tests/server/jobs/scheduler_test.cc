#include "server/jobs/scheduler.h"

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Type = Resource::Type;

ActiveJob Job(int64_t number, JobState state, ResolvedJob resolved = {}) {
  ActiveJob job;
  job.record.number = number;
  job.record.state = state;
  job.record.job = std::move(resolved);
  return job;
}

ResolvedJob Making(const Resource& resource) {
  ResolvedJob job;
  job.makes = resource;
  return job;
}

ResolvedJob Reading(const std::vector<Resource>& resources) {
  ResolvedJob job;
  job.reads = resources;
  return job;
}

TEST(SchedulerTest, TheQueueIsInOrderOfSubmission) {
  Scheduler scheduler;
  scheduler.Add(Job(3, JobState::kQueued));
  scheduler.Add(Job(1, JobState::kRunning));
  scheduler.Add(Job(2, JobState::kQueued));
  EXPECT_EQ(scheduler.QueuePosition(1), 0);
  EXPECT_EQ(scheduler.QueuePosition(2), 1);
  EXPECT_EQ(scheduler.QueuePosition(3), 2);
  EXPECT_EQ(scheduler.QueuePosition(4), 0);
  EXPECT_EQ(scheduler.Next(1), std::nullopt);
  EXPECT_EQ(scheduler.Next(2), 2);
  scheduler.Find(2)->wish_owed = Wish::kCancel;
  EXPECT_EQ(scheduler.Next(2), 3);
}

TEST(SchedulerTest, PublishingTakesNoWorkersPlace) {
  Scheduler scheduler;
  scheduler.Add(Job(1, JobState::kPublishing));
  scheduler.Add(Job(2, JobState::kQueued));
  EXPECT_EQ(scheduler.Next(1), 2);
}

TEST(SchedulerTest, TwoJobsNeverMakeTheSame) {
  Scheduler scheduler;
  const ResolvedJob pets = Making(Resource{Type::kDataset, "pets"});
  ASSERT_THAT(scheduler.Admit(pets), IsOk());
  scheduler.Add(Job(1, JobState::kRunning, pets));
  EXPECT_THAT(scheduler.Admit(pets), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("job-1 is making")));
  EXPECT_EQ(scheduler.MakerOf({Type::kDataset, "pets"}), "job-1");
  EXPECT_EQ(scheduler.MakerOf({Type::kModel, "pets"}), "");
  // Versions of one model are things of their own.
  scheduler.Add(Job(2, JobState::kRunning, Making(Resource{Type::kModel, "cats", 1})));
  EXPECT_THAT(scheduler.Admit(Making(Resource{Type::kModel, "cats", 2})), IsOk());
  EXPECT_EQ(scheduler.UserOf({Type::kModel, "cats"}), "job-2");
  EXPECT_EQ(scheduler.UserOf({Type::kModel, "cats", 2}), "");
}

TEST(SchedulerTest, AnUploadIsOneJobs) {
  Scheduler scheduler;
  scheduler.Add(Job(1, JobState::kQueued, Reading({{Type::kUpload, "u"}, {Type::kDataset, "d"}})));
  EXPECT_THAT(scheduler.Admit(Reading({{Type::kUpload, "u"}})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("taken by job-1")));
  EXPECT_THAT(scheduler.Admit(Reading({{Type::kDataset, "d"}})), IsOk());
}

TEST(SchedulerTest, WhatIsReservedIsNobodys) {
  Scheduler scheduler;
  const Resource pets{Type::kDataset, "pets"};
  const ResolvedJob reader = Reading({pets});
  ASSERT_THAT(scheduler.Reserve(pets), IsOk());
  EXPECT_THAT(scheduler.Admit(reader), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("being deleted")));
  EXPECT_THAT(scheduler.Reserve(pets), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("already")));
  scheduler.Release(pets);
  EXPECT_THAT(scheduler.Admit(reader), IsOk());
  scheduler.BeginSubmission(reader);
  EXPECT_THAT(scheduler.Reserve(pets), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("being queued")));
  scheduler.EndSubmission();
  scheduler.Add(Job(7, JobState::kQueued, reader));
  EXPECT_THAT(scheduler.Reserve(pets), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("job-7")));
}

TEST(SchedulerTest, OnlyRunningJobsAreQuiet) {
  Scheduler scheduler;
  for (int i = 1; i <= 4; ++i) {
    scheduler.Add(Job(i, i == 4 ? JobState::kPublishing : JobState::kRunning));
    scheduler.Find(i)->heard = absl::Seconds(i == 2 ? 50 : 0);
  }
  scheduler.Find(3)->ended = WorkerEnd{};
  EXPECT_THAT(scheduler.Quiet(absl::Seconds(70), absl::Seconds(60)), ElementsAre(1));
  EXPECT_THAT(scheduler.Unresponsive(absl::Seconds(70), absl::Seconds(60), absl::Seconds(90)), ElementsAre(1));
  scheduler.Find(1)->computed = absl::Seconds(40);
  EXPECT_THAT(scheduler.Unresponsive(absl::Seconds(70), absl::Seconds(60), absl::Seconds(90)), ElementsAre());
  EXPECT_THAT(scheduler.Unresponsive(absl::Seconds(91), absl::Seconds(60), absl::Seconds(90)), ElementsAre(1));
  scheduler.Forgive(absl::Seconds(70));
  EXPECT_THAT(scheduler.Quiet(absl::Seconds(130), absl::Seconds(60)), ElementsAre());
}

}  // namespace
}  // namespace graft
