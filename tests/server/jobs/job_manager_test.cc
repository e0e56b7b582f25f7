#include "server/jobs/job_manager.h"

#include <set>

#include "server/jobs/job_state.h"
#include "tests/testing/files.h"
#include "tests/testing/puppets.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::PuppetExecutor;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(JobStateTest, OnlyTheDiagramsEdgesAreLegal) {
  const std::vector<v1::JobState> states = {v1::JOB_STATE_UNSPECIFIED, v1::JOB_STATE_QUEUED, v1::JOB_STATE_RUNNING,
                                            v1::JOB_STATE_SUCCEEDED,   v1::JOB_STATE_FAILED, v1::JOB_STATE_CANCELLED};
  const std::set<std::pair<v1::JobState, v1::JobState>> legal = {
      {v1::JOB_STATE_UNSPECIFIED, v1::JOB_STATE_QUEUED}, {v1::JOB_STATE_QUEUED, v1::JOB_STATE_RUNNING},
      {v1::JOB_STATE_QUEUED, v1::JOB_STATE_CANCELLED},   {v1::JOB_STATE_QUEUED, v1::JOB_STATE_FAILED},
      {v1::JOB_STATE_RUNNING, v1::JOB_STATE_QUEUED},     {v1::JOB_STATE_RUNNING, v1::JOB_STATE_SUCCEEDED},
      {v1::JOB_STATE_RUNNING, v1::JOB_STATE_FAILED},     {v1::JOB_STATE_RUNNING, v1::JOB_STATE_CANCELLED}};
  for (const v1::JobState from : states) {
    for (const v1::JobState to : states) {
      EXPECT_EQ(CheckTransition(from, to).ok(), legal.count({from, to}) > 0)
          << StateName(from) << " -> " << StateName(to);
    }
  }
}

class JobManagerTest : public ::testing::Test {
 protected:
  JobManagerTest() { Open(); }
  ~JobManagerTest() override { jobs_->Shutdown(); }

  // A server that starts, or starts again after the one before was killed.
  void Open() {
    executor_ = std::make_unique<PuppetExecutor>();
    JobManagerOptions options;
    options.data_dir = dir_.path();
    options.max_queued = 3;
    options.now_ms = [this] { return now_ms_ += 10; };
    auto jobs =
        JobManager::Open(options, executor_.get(), [this](const StoredJob& job, const std::filesystem::path& staging) {
          EXPECT_TRUE(std::filesystem::exists(staging));
          published_.push_back(job.job.id());
          return publish_status_;
        });
    ASSERT_THAT(jobs, IsOk());
    jobs_ = *std::move(jobs);
    jobs_->Start();
  }

  static v1::JobSpec Train(const std::string& model) {
    v1::JobSpec spec;
    spec.mutable_train()->set_model(model);
    spec.mutable_train()->set_dataset("pets");
    return spec;
  }
  v1::Job Submit(const v1::JobSpec& spec, const std::string& request_id = "") {
    auto job = jobs_->Submit(request_id, spec, spec, 0);
    EXPECT_THAT(job, IsOk());
    return job.ok() ? *job : v1::Job();
  }
  v1::Job Get(const std::string& id) { return jobs_->Get(id).value(); }
  v1::JobState State(const std::string& id) { return Get(id).state(); }

  static v1::JobEvent Epoch(int epoch) {
    v1::JobEvent event;
    event.mutable_epoch()->set_epoch(epoch);
    return event;
  }
  static v1::JobEvent End(v1::JobState state, const std::string& message = "") {
    v1::JobEvent event;
    event.mutable_state()->set_state(state);
    if (state == v1::JOB_STATE_FAILED) {
      event.mutable_state()->mutable_error()->set_code(static_cast<int>(absl::StatusCode::kDataLoss));
      event.mutable_state()->mutable_error()->set_message(message);
    } else {
      event.mutable_state()->mutable_result()->mutable_train()->set_version(1);
    }
    return event;
  }
  absl::StatusOr<v1::ReportResponse> Report(const std::string& id, int attempt, int64_t first,
                                            const std::vector<v1::JobEvent>& events) {
    v1::ReportRequest request;
    request.set_job_id(id);
    request.set_attempt(attempt);
    request.set_first_sequence(first);
    for (const v1::JobEvent& event : events) {
      *request.add_events() = event;
    }
    return jobs_->Report(request);
  }
  // "1:QUEUED 2:RUNNING 3:epoch1".
  std::vector<std::string> Log(const std::string& id, int64_t after = 0) {
    std::vector<std::string> log;
    const JobManager::EventPage page = jobs_->Events(id, after).value();
    for (const v1::JobEvent& event : page.events) {
      log.push_back(std::to_string(event.sequence()) + ":" +
                    (event.has_state()   ? StateName(event.state().state())
                     : event.has_epoch() ? "epoch" + std::to_string(event.epoch().epoch())
                                         : "other"));
    }
    return log;
  }

  const testing::TempDir dir_;
  int64_t now_ms_ = 1'790'000'000'000;
  absl::Status publish_status_;
  std::vector<std::string> published_;
  std::unique_ptr<PuppetExecutor> executor_;
  std::unique_ptr<JobManager> jobs_;
};

TEST_F(JobManagerTest, AJobRunsReportsAndSucceeds) {
  const v1::Job job = Submit(Train("a"));
  EXPECT_EQ(job.id(), "job-1");
  EXPECT_EQ(job.state(), v1::JOB_STATE_RUNNING);
  ASSERT_EQ(executor_->launches().size(), 1U);
  v1::FetchAssignmentRequest fetch;
  fetch.set_job_id(job.id());
  fetch.set_attempt(1);
  ASSERT_OK_AND_ASSIGN(const v1::Assignment assignment, jobs_->FetchAssignment(fetch));
  EXPECT_EQ(assignment.model_version(), 1);
  EXPECT_TRUE(std::filesystem::is_directory(assignment.staging_dir()));
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse first, Report(job.id(), 1, 1, {Epoch(1), Epoch(2)}));
  EXPECT_EQ(first.acknowledged(), 2);
  EXPECT_FALSE(first.stop());
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse last, Report(job.id(), 1, 3, {End(v1::JOB_STATE_SUCCEEDED)}));
  EXPECT_TRUE(last.stop());
  EXPECT_THAT(published_, ElementsAre("job-1"));
  EXPECT_THAT(Log(job.id()), ElementsAre("1:queued", "2:running", "3:epoch1", "4:epoch2", "5:succeeded"));
  EXPECT_THAT(Log(job.id(), 3), ElementsAre("4:epoch2", "5:succeeded"));
  executor_->Exit(job.id(), 1, absl::OkStatus());  // changes nothing any more
  EXPECT_EQ(State(job.id()), v1::JOB_STATE_SUCCEEDED);
  EXPECT_TRUE(jobs_->Events(job.id(), 5)->ended);
}

TEST_F(JobManagerTest, ResentEventsAreNotRepeatedAndGapsAreRefused) {
  const v1::Job job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Epoch(1), Epoch(2)}), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse again, Report(job.id(), 1, 1, {Epoch(1), Epoch(2), Epoch(3)}));
  EXPECT_EQ(again.acknowledged(), 3);
  EXPECT_THAT(Log(job.id()), ElementsAre("1:queued", "2:running", "3:epoch1", "4:epoch2", "5:epoch3"));
  EXPECT_THAT(Report(job.id(), 1, 5, {Epoch(5)}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("gap")));
}

TEST_F(JobManagerTest, AWorkerThatDiesFailsItsJobWithTheReasonAndTheNextStarts) {
  const v1::Job first = Submit(Train("a"));
  const v1::Job second = Submit(Train("b"));
  EXPECT_EQ(second.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(second.queue_position(), 1);
  executor_->Exit(first.id(), 1, absl::AbortedError("the worker process was ended by signal 9"));
  EXPECT_EQ(State(first.id()), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(first.id()).error().message(), HasSubstr("signal 9"));
  EXPECT_EQ(State(second.id()), v1::JOB_STATE_RUNNING);
  executor_->Exit(second.id(), 1, absl::OkStatus());
  EXPECT_THAT(Get(second.id()).error().message(), HasSubstr("without a result"));
}

TEST_F(JobManagerTest, AReportedFailureKeepsItsCode) {
  const v1::Job job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {End(v1::JOB_STATE_FAILED, "the cache is damaged")}), IsOk());
  EXPECT_EQ(State(job.id()), v1::JOB_STATE_FAILED);
  EXPECT_EQ(Get(job.id()).error().code(), static_cast<int>(absl::StatusCode::kDataLoss));
  EXPECT_THAT(published_, ElementsAre());
}

TEST_F(JobManagerTest, AResultThatCannotBePublishedFailsTheJob) {
  publish_status_ = absl::ResourceExhaustedError("disk full");
  const v1::Job job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {End(v1::JOB_STATE_SUCCEEDED)}), IsOk());
  EXPECT_EQ(State(job.id()), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job.id()).error().message(), HasSubstr("disk full"));
}

TEST_F(JobManagerTest, CancelOfAQueuedJobIsAtOnceOfARunningOneWhenItsWorkerEnds) {
  const v1::Job running = Submit(Train("a"));
  const v1::Job queued = Submit(Train("b"));
  ASSERT_OK_AND_ASSIGN(const v1::Job cancelled, jobs_->Cancel(queued.id()));
  EXPECT_EQ(cancelled.state(), v1::JOB_STATE_CANCELLED);
  ASSERT_OK_AND_ASSIGN(const v1::Job asked, jobs_->Cancel(running.id()));
  EXPECT_EQ(asked.state(), v1::JOB_STATE_RUNNING);
  EXPECT_TRUE(asked.cancel_requested());
  EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(running.id(), 1)));
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse response, Report(running.id(), 1, 1, {Epoch(1)}));
  EXPECT_TRUE(response.stop());
  executor_->Exit(running.id(), 1, absl::OkStatus());
  EXPECT_EQ(State(running.id()), v1::JOB_STATE_CANCELLED);
  EXPECT_THAT(jobs_->Cancel(running.id()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cancelled")));
  EXPECT_THAT(jobs_->Cancel("job-99"), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(jobs_->Cancel("nonsense"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nonsense")));
}

TEST_F(JobManagerTest, TheSameRequestIsOneJob) {
  const v1::Job job = Submit(Train("a"), "request-1");
  EXPECT_EQ(Submit(Train("a"), "request-1").id(), job.id());
  EXPECT_EQ(executor_->launches().size(), 1U);
  ASSERT_OK_AND_ASSIGN(const auto found, jobs_->FindRequest("request-1", Train("a")));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id(), job.id());
  EXPECT_THAT(jobs_->FindRequest("request-1", Train("b")),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("request-1")));
  EXPECT_FALSE(jobs_->FindRequest("request-2", Train("a"))->has_value());
  EXPECT_FALSE(jobs_->FindRequest("", Train("a"))->has_value());
}

TEST_F(JobManagerTest, AFullQueueRefuses) {
  for (int i = 0; i < 4; ++i) {  // one runs, three wait
    Submit(Train("a"));
  }
  EXPECT_THAT(jobs_->Submit("", Train("a"), Train("a"), 0),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("3")));
}

TEST_F(JobManagerTest, VersionsRiseAndAreNeverGivenTwice) {
  for (int i = 0; i < 3; ++i) {
    Submit(Train("a"));
  }
  Open();
  ASSERT_OK_AND_ASSIGN(const v1::Job job, jobs_->Submit("", Train("a"), Train("a"), 7));
  (void)job;
  v1::FetchAssignmentRequest fetch;
  fetch.set_job_id("job-1");
  fetch.set_attempt(2);
  EXPECT_EQ(jobs_->FetchAssignment(fetch)->model_version(), 1);
  executor_->Exit("job-1", 2, absl::AbortedError("x"));
  executor_->Exit("job-2", 1, absl::AbortedError("x"));
  executor_->Exit("job-3", 1, absl::AbortedError("x"));
  fetch.set_job_id("job-4");
  fetch.set_attempt(1);
  EXPECT_EQ(jobs_->FetchAssignment(fetch)->model_version(), 8);
}

TEST_F(JobManagerTest, AServerThatWasKilledRunsItsJobsAgainAndFencesTheOldWorker) {
  const v1::Job running = Submit(Train("a"), "request-1");
  const v1::Job queued = Submit(Train("b"));
  ASSERT_THAT(Report(running.id(), 1, 1, {Epoch(1)}), IsOk());
  Open();
  EXPECT_EQ(State(running.id()), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(Get(running.id()).attempt(), 2);
  EXPECT_EQ(State(queued.id()), v1::JOB_STATE_QUEUED);
  EXPECT_THAT(Log(running.id()), ElementsAre("1:queued", "2:running", "3:epoch1", "4:queued", "5:running"));
  // The worker of the first attempt lives on and reports: it is told to stop and nothing of it is kept.
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse late,
                       Report(running.id(), 1, 2, {Epoch(2), End(v1::JOB_STATE_SUCCEEDED)}));
  EXPECT_TRUE(late.stop());
  EXPECT_EQ(late.acknowledged(), 3);
  EXPECT_EQ(Log(running.id()).size(), 5U);
  EXPECT_THAT(published_, ElementsAre());
  EXPECT_EQ(Submit(Train("a"), "request-1").id(), running.id());
}

TEST_F(JobManagerTest, AJobThatKillsItsServerIsGivenUp) {
  const v1::Job job = Submit(Train("a"));
  Open();
  Open();
  EXPECT_EQ(Get(job.id()).attempt(), 3);
  Open();
  EXPECT_EQ(State(job.id()), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job.id()).error().message(), HasSubstr("3 times"));
}

TEST_F(JobManagerTest, AWorkerThatCannotBeStartedFailsTheJob) {
  executor_->FailStarts(absl::NotFoundError("no graft-worker"));
  const v1::Job job = Submit(Train("a"));
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(job.error().message(), HasSubstr("no graft-worker"));
}

TEST_F(JobManagerTest, SubscribersHearOfEachChangeUntilTheyLeave) {
  const v1::Job job = Submit(Train("a"));
  int heard = 0;
  ASSERT_OK_AND_ASSIGN(const int64_t subscription, jobs_->Subscribe(job.id(), [&] { ++heard; }));
  ASSERT_THAT(Report(job.id(), 1, 1, {Epoch(1)}), IsOk());
  EXPECT_EQ(heard, 1);
  ASSERT_THAT(Report(job.id(), 1, 1, {Epoch(1)}), IsOk());  // nothing new
  EXPECT_EQ(heard, 1);
  jobs_->Unsubscribe(subscription);
  ASSERT_THAT(Report(job.id(), 1, 2, {Epoch(2)}), IsOk());
  EXPECT_EQ(heard, 1);
  EXPECT_THAT(jobs_->Subscribe("job-9", [] {}), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_F(JobManagerTest, EventsBeyondTheLastAreOutOfRange) {
  const v1::Job job = Submit(Train("a"));
  EXPECT_THAT(jobs_->Events(job.id(), 3), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("3")));
  EXPECT_THAT(jobs_->Events(job.id(), -1), StatusIs(absl::StatusCode::kOutOfRange, _));
  EXPECT_THAT(jobs_->Events(job.id(), 2), IsOk());
}

TEST_F(JobManagerTest, ListsFilterAndPage) {
  Submit(Train("a"));
  Submit(Train("b"));
  Submit(Train("a"));
  JobFilter filter;
  filter.model = "a";
  std::vector<std::string> ids;
  const std::vector<v1::Job> listed = jobs_->List(filter).value();
  for (const v1::Job& job : listed) {
    ids.push_back(job.id());
  }
  EXPECT_THAT(ids, ElementsAre("job-3", "job-1"));
  filter.states = {v1::JOB_STATE_QUEUED};
  EXPECT_EQ(jobs_->List(filter)->size(), 1U);
  filter = {};
  filter.before = 3;
  filter.limit = 1;
  EXPECT_EQ(jobs_->List(filter)->front().id(), "job-2");
  filter.kind = "split";
  EXPECT_TRUE(jobs_->List(filter)->empty());
}

TEST_F(JobManagerTest, AStoreOfANewerProgramIsLeftAlone) {
  const testing::TempDir other;
  testing::WriteText(other / "jobs.sqlite", std::string(4096, 'x'));
  JobManagerOptions options;
  options.data_dir = other.path();
  options.now_ms = [] { return 0; };
  EXPECT_THAT(JobManager::Open(options, executor_.get(), nullptr), StatusIs(absl::StatusCode::kDataLoss, _));
}

}  // namespace
}  // namespace graft
