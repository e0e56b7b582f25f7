#include "jobs/to_proto.h"

#include "jobs/split.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::testing::HasSubstr;

JobRecord Record() {
  SplitJobSpec spec;
  spec.dataset = "pets";
  spec.recipe.source = "upload";
  JobRecord record;
  record.number = 12;
  record.job.kind = "split";
  record.job.spec = ToJson(spec);
  record.state = JobState::kRunning;
  record.create_time_ms = 1'790'000'000'123;
  record.start_time_ms = 1'790'000'001'000;
  record.attempt = 2;
  record.last_sequence = 9;
  return record;
}

TEST(ToProtoTest, AJobIsShownAsItStands) {
  JobRecord record = Record();
  JobProgress progress;
  progress.phase = "copy";
  progress.done = 3;
  progress.total = 4;
  progress.unit = "files";
  progress.images_per_second = 2.5;
  progress.eta_seconds = 0.5;
  progress.steps = {{1, 0.5, 0.25}};
  record.progress = progress;
  record.wish = Wish::kCancel;
  v1::Job job = ToProto(record);
  EXPECT_EQ(job.id(), "job-12");
  EXPECT_EQ(job.spec().split().dataset(), "pets");
  EXPECT_EQ(job.state(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(job.create_time().seconds(), 1'790'000'000);
  EXPECT_EQ(job.create_time().nanos(), 123'000'000);
  EXPECT_EQ(job.start_time().seconds(), 1'790'000'001);
  EXPECT_FALSE(job.has_end_time());
  EXPECT_EQ(job.attempt(), 2);
  EXPECT_EQ(job.last_sequence(), 9);
  EXPECT_TRUE(job.cancel_requested());
  EXPECT_FALSE(job.pause_requested());
  EXPECT_FALSE(job.has_error());
  EXPECT_FALSE(job.has_result());
  EXPECT_EQ(job.progress().phase(), "copy");
  EXPECT_EQ(job.progress().eta_seconds(), 0.5);
  EXPECT_EQ(job.progress().steps_size(), 0);

  record.wish = Wish::kKeepBest;
  EXPECT_TRUE(ToProto(record).keep_best_requested());
  record.wish = Wish::kNone;
  record.state = JobState::kPaused;
  EXPECT_EQ(ToProto(record).state(), v1::JOB_STATE_PAUSED);

  record.state = JobState::kSucceeded;
  record.result = ToJson(SplitJobResult{"pets", 400, 1});
  record.end_time_ms = 1'790'000'002'000;
  job = ToProto(record);
  EXPECT_EQ(job.result().split().images(), 400);
  EXPECT_TRUE(job.has_end_time());
  EXPECT_FALSE(job.cancel_requested());

  record.state = JobState::kFailed;
  record.error = absl::DataLossError("a file is damaged");
  job = ToProto(record);
  EXPECT_EQ(job.error().code(), static_cast<int>(absl::StatusCode::kDataLoss));
  EXPECT_EQ(job.error().message(), "a file is damaged");
}

TEST(ToProtoTest, CallersSeeAPublishingJobAsRunning) {
  const std::pair<JobState, v1::JobState> states[] = {
      {JobState::kQueued, v1::JOB_STATE_QUEUED},      {JobState::kRunning, v1::JOB_STATE_RUNNING},
      {JobState::kPublishing, v1::JOB_STATE_RUNNING}, {JobState::kSucceeded, v1::JOB_STATE_SUCCEEDED},
      {JobState::kFailed, v1::JOB_STATE_FAILED},      {JobState::kCancelled, v1::JOB_STATE_CANCELLED}};
  for (const auto& [state, shown] : states) {
    EXPECT_EQ(ToProto(state), shown);
  }
}

TEST(ToProtoTest, AJobWhoseDocumentsCannotBeReadIsShownAllTheSame) {
  for (const bool unknown_kind : {false, true}) {
    JobRecord record = Record();
    if (unknown_kind) {
      record.job.kind = "dream";
    } else {
      record.job.spec = {{"dataset", 3}};
    }
    const v1::Job job = ToProto(record);
    EXPECT_EQ(job.id(), "job-12");
    EXPECT_EQ(job.state(), v1::JOB_STATE_RUNNING);
    EXPECT_FALSE(job.has_spec());
    EXPECT_EQ(job.error().code(), static_cast<int>(absl::StatusCode::kDataLoss));
    EXPECT_THAT(job.error().message(), HasSubstr("spec can't be read"));
  }
  JobRecord record = Record();
  record.wish = Wish::kKeepBest;
  EXPECT_TRUE(ToProto(record).keep_best_requested());
  record.wish = Wish::kNone;
  record.state = JobState::kPaused;
  EXPECT_EQ(ToProto(record).state(), v1::JOB_STATE_PAUSED);

  record.state = JobState::kSucceeded;
  record.result = {{"images", "many"}};
  const v1::Job job = ToProto(record);
  EXPECT_TRUE(job.has_spec());
  EXPECT_FALSE(job.has_result());
  EXPECT_THAT(job.error().message(), HasSubstr("result can't be read"));
}

TEST(ToProtoTest, EachEventHasItsMessage) {
  JobEvent event;
  event.sequence = 5;
  event.time_ms = 1'790'000'000'000;
  event.attempt = 2;
  event.body = JobLogLine{"hello", true};
  v1::JobEvent out = ToProto("job-12", "split", event);
  EXPECT_EQ(out.job_id(), "job-12");
  EXPECT_EQ(out.sequence(), 5);
  EXPECT_EQ(out.time().seconds(), 1'790'000'000);
  EXPECT_EQ(out.attempt(), 2);
  EXPECT_EQ(out.log().text(), "hello");
  EXPECT_TRUE(out.log().warning());

  EpochMetrics epoch;
  epoch.epoch = 3;
  epoch.loss = 0.5;
  event.body = epoch;
  EXPECT_EQ(ToProto("job-12", "train", event).epoch().loss(), 0.5);

  JobProgress progress;
  progress.phase = "train";
  progress.epochs = 30;
  progress.steps = {{1, 0.5, 0.25}, {2, 0.25, 0.5}};
  event.body = progress;
  out = ToProto("job-12", "train", event);
  EXPECT_EQ(out.progress().epochs(), 30);
  EXPECT_FALSE(out.progress().has_eta_seconds());
  ASSERT_EQ(out.progress().steps_size(), 2);
  EXPECT_EQ(out.progress().steps(1).accuracy(), 0.5);

  event.body = JobStateChange{JobState::kSucceeded, absl::OkStatus(), ToJson(SplitJobResult{"pets", 400, 1})};
  out = ToProto("job-12", "split", event);
  EXPECT_EQ(out.state().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(out.state().result().split().images(), 400);
  out = ToProto("job-12", "train", event);  // not a training's result
  EXPECT_FALSE(out.state().has_result());
  EXPECT_THAT(out.state().error().message(), HasSubstr("can't be read"));

  event.body = JobStateChange{JobState::kFailed, absl::AbortedError("the worker died"), nullptr};
  out = ToProto("job-12", "split", event);
  EXPECT_EQ(out.state().error().message(), "the worker died");
  EXPECT_FALSE(out.state().has_result());
}

}  // namespace
}  // namespace graft
