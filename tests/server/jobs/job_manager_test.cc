#include "server/jobs/job_manager.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "core/base/failpoint.h"
#include "server/log.h"
#include "tests/testing/files.h"
#include "tests/testing/puppets.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using ::graft::testing::IsOk;
using ::graft::testing::PuppetExecutor;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Type = Resource::Type;

// What is survived is a warning each time.
void QuietLog() {
  static const bool once = [] {
    ConfigureLog("error", /*json=*/false);
    return true;
  }();
  (void)once;
}

// Time passes and the disk fills as the test says; ticks and chores run when it calls Tick().
class JobManagerTest : public ::testing::Test {
 protected:
  JobManagerTest() : data_(dir_.path()) {
    QuietLog();
    fs::create_directories(data_.Dataset("pets"));
    Open();
  }
  ~JobManagerTest() override {
    EXPECT_THAT(SetFailpoints(""), IsOk());
    jobs_->Shutdown();
  }

  JobManagerOptions Options() {
    JobManagerOptions options;
    options.data = &data_;
    options.max_queued = 3;
    options.threads = false;
    options.now_ms = [this] { return now_ms_ += 10; };
    options.steady = [this] { return absl::Nanoseconds(steady_.load()); };
    options.free_bytes = [this](const fs::path&) -> absl::StatusOr<int64_t> { return free_bytes_.load(); };
    return options;
  }
  JobHooks Hooks() {
    return {[this](const JobRecord& record, const fs::path& staging) {
              EXPECT_EQ(staging, data_.Staging(record.id(), record.attempt));
              publishing_.push_back(record.id());
              return publish_status_;
            },
            [this](const JobRecord& record) { published_.push_back(record.id()); }};
  }
  // A server that starts; one that ran before is taken to have been killed.
  void Open(const std::vector<std::pair<std::string, int>>& living_workers = {}, JobManagerOptions* options = nullptr) {
    old_executor_ = std::move(executor_);
    old_jobs_ = std::move(jobs_);
    executor_ = std::make_unique<PuppetExecutor>();
    for (const auto& [id, attempt] : living_workers) {
      executor_->LetLive(id, attempt);
    }
    auto jobs = JobManager::Open(options == nullptr ? Options() : *options, executor_.get(), Hooks());
    ASSERT_THAT(jobs, IsOk());
    jobs_ = *std::move(jobs);
    jobs_->Start();
  }
  void Advance(absl::Duration time) {
    steady_ += absl::ToInt64Nanoseconds(time);
    jobs_->Tick();
  }
  // With a tick a second, as a server that is well has it.
  void Pass(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      Advance(absl::Seconds(1));
    }
  }

  static ResolvedJob Train(const std::string& model) {
    ResolvedJob job;
    job.kind = "train";
    job.spec = {{"model", model}};
    job.dataset = "pets";
    job.model = model;
    job.reads = {{Type::kDataset, "pets"}};
    job.makes = Resource{Type::kModel, model};
    return job;
  }
  ResolvedJob Split(const std::string& dataset, const std::string& upload) {
    fs::create_directories(data_.Upload(upload));
    ResolvedJob job;
    job.kind = "split";
    job.dataset = dataset;
    job.reads = {{Type::kUpload, upload}};
    job.makes = Resource{Type::kDataset, dataset};
    return job;
  }
  JobRecord Submit(const ResolvedJob& job, const std::string& request_id = "") {
    auto record = jobs_->Submit(request_id, "sha of " + job.model, job, 0);
    EXPECT_THAT(record, IsOk());
    return record.ok() ? *record : JobRecord();
  }
  JobRecord Get(const std::string& id) { return jobs_->Get(id).value(); }
  JobState State(const std::string& id) { return Get(id).state; }

  static JobEventBody Epoch(int epoch) {
    EpochMetrics metrics;
    metrics.epoch = epoch;
    return metrics;
  }
  static JobEventBody Succeeded() { return JobStateChange{JobState::kSucceeded, absl::OkStatus(), {{"version", 1}}}; }
  static JobEventBody Failed(const absl::Status& error) { return JobStateChange{JobState::kFailed, error, nullptr}; }
  v1::ReportRequest Request(const std::string& id, int attempt, int64_t first,
                            const std::vector<JobEventBody>& events) {
    v1::ReportRequest request;
    request.set_job_id(id);
    request.set_attempt(attempt);
    request.set_incarnation(incarnation(id, attempt));
    request.set_first_sequence(first);
    for (const JobEventBody& event : events) {
      request.add_events(DocumentText(ToJson(event)));
    }
    return request;
  }
  absl::StatusOr<v1::ReportResponse> Report(const std::string& id, int attempt, int64_t first,
                                            const std::vector<JobEventBody>& events) {
    return jobs_->Report(Request(id, attempt, first, events));
  }
  // What the worker of this attempt was started with, by this server or the one before.
  std::string incarnation(const std::string& id, int attempt) {
    for (const auto* executor : {executor_.get(), old_executor_.get()}) {
      if (executor == nullptr) {
        continue;
      }
      for (const WorkerLaunch& launch : executor->launches()) {
        if (launch.job_id == id && launch.attempt == attempt) {
          return incarnations_[{id, attempt}] = launch.incarnation;
        }
      }
    }
    return incarnations_[{id, attempt}];
  }
  // With threads, a tick may be the one that starts it.
  void AwaitLaunch(const std::string& id) {
    while (incarnation(id, 1).empty()) {
      std::this_thread::yield();
    }
  }
  // "1:queued 2:running 3:epoch1".
  std::vector<std::string> Log(const std::string& id, int64_t after = 0) {
    std::vector<std::string> log;
    const JobManager::EventPage page = jobs_->Events(id, after).value();
    for (const JobEvent& event : page.events) {
      std::string what = "other";
      if (const auto* change = std::get_if<JobStateChange>(&event.body)) {
        what = std::string(JobStateName(change->state));
      } else if (const auto* epoch = std::get_if<EpochMetrics>(&event.body)) {
        what = "epoch" + std::to_string(epoch->epoch);
      } else if (const auto* line = std::get_if<JobLogLine>(&event.body)) {
        what = "line";
        lines_.push_back(line->text);
      }
      log.push_back(std::to_string(event.sequence) + ":" + what);
    }
    return log;
  }
  static void FillTheDisk() {
    ASSERT_THAT(SetFailpoints("job_log.state.before=error,job_log.append.before=error"), IsOk());
  }
  static void FreeTheDisk() { ASSERT_THAT(SetFailpoints(""), IsOk()); }

  const testing::TempDir dir_;
  DataFolder data_;
  int64_t now_ms_ = 1'790'000'000'000;
  std::atomic<int64_t> steady_{1'000'000'000'000};
  std::atomic<int64_t> free_bytes_{int64_t{1} << 40};
  absl::Status publish_status_;
  std::vector<std::string> publishing_;  // each try
  std::vector<std::string> published_;
  std::vector<std::string> lines_;
  std::map<std::pair<std::string, int>, std::string> incarnations_;
  // Killed ones answer nobody, but their executor's callbacks hold on to them.
  std::unique_ptr<PuppetExecutor> old_executor_;
  std::unique_ptr<JobManager> old_jobs_;
  std::unique_ptr<PuppetExecutor> executor_;
  std::unique_ptr<JobManager> jobs_;
};

TEST_F(JobManagerTest, AJobRunsReportsAndSucceeds) {
  const JobRecord job = Submit(Train("a"));
  EXPECT_EQ(job.id(), "job-1");
  EXPECT_EQ(job.state, JobState::kRunning);
  ASSERT_EQ(executor_->launches().size(), 1U);
  const WorkerLaunch launch = executor_->launches()[0];
  EXPECT_EQ(launch.incarnation.size(), 32U);
  EXPECT_TRUE(fs::is_directory(data_.Staging(job.id(), 1)));
  v1::FetchAssignmentRequest fetch;
  fetch.set_job_id(job.id());
  fetch.set_attempt(1);
  fetch.set_incarnation(launch.incarnation);
  ASSERT_OK_AND_ASSIGN(const v1::Assignment assignment, jobs_->FetchAssignment(fetch));
  EXPECT_EQ(assignment.model_version(), 1);
  EXPECT_EQ(assignment.kind(), "train");
  EXPECT_EQ(assignment.spec(), R"({"model":"a"})");
  EXPECT_EQ(assignment.settings().device(), "auto");
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse first, Report(job.id(), 1, 1, {Epoch(1), Epoch(2)}));
  EXPECT_EQ(first.acknowledged(), 2);
  EXPECT_FALSE(first.stop());
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse last, Report(job.id(), 1, 3, {Succeeded()}));
  EXPECT_EQ(last.acknowledged(), 3);
  EXPECT_TRUE(last.stop());
  // Its result is durable and not in its place yet.
  EXPECT_EQ(State(job.id()), JobState::kPublishing);
  EXPECT_TRUE(Get(job.id()).result.is_null());
  EXPECT_EQ(jobs_->running(), 1);
  executor_->Exit(job.id(), 1, absl::OkStatus());
  EXPECT_TRUE(fs::exists(data_.Staging(job.id(), 1)));
  jobs_->Tick();
  EXPECT_THAT(publishing_, ElementsAre("job-1"));
  EXPECT_THAT(published_, ElementsAre("job-1"));
  EXPECT_EQ(State(job.id()), JobState::kSucceeded);
  EXPECT_EQ(Get(job.id()).result["version"], 1);
  EXPECT_FALSE(fs::exists(data_.Staging(job.id(), 1)));
  EXPECT_THAT(Log(job.id()), ElementsAre("1:queued", "2:running", "3:epoch1", "4:epoch2", "5:succeeded"));
  EXPECT_THAT(Log(job.id(), 3), ElementsAre("4:epoch2", "5:succeeded"));
  EXPECT_TRUE(jobs_->Events(job.id(), 5)->ended);
}

TEST_F(JobManagerTest, ResentEventsAreNotRepeated) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Epoch(1), Epoch(2)}), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse again, Report(job.id(), 1, 1, {Epoch(1), Epoch(2), Epoch(3)}));
  EXPECT_EQ(again.acknowledged(), 3);
  EXPECT_THAT(Log(job.id()), ElementsAre("1:queued", "2:running", "3:epoch1", "4:epoch2", "5:epoch3"));
}

TEST_F(JobManagerTest, AcknowledgedEventsThatTheLogHasLostAreOnRecord) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse response, Report(job.id(), 1, 4, {Epoch(4)}));
  EXPECT_EQ(response.acknowledged(), 4);
  EXPECT_THAT(Log(job.id()), ElementsAre("1:queued", "2:running", "3:line", "4:epoch4"));
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("1 to 3 are missing")));
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse next, Report(job.id(), 1, 5, {Epoch(5)}));
  EXPECT_EQ(next.acknowledged(), 5);
}

TEST_F(JobManagerTest, WhatIsNoEventIsRefused) {
  const JobRecord job = Submit(Train("a"));
  v1::ReportRequest request = Request(job.id(), 1, 1, {});
  request.add_events("{\"log\":1}");
  EXPECT_THAT(jobs_->Report(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("events[0]")));
}

TEST_F(JobManagerTest, AJobWhoseWorkersDieIsGivenUpWithTheReasonAndTheNextStarts) {
  const JobRecord first = Submit(Train("a"));
  const JobRecord second = Submit(Train("b"));
  EXPECT_EQ(second.state, JobState::kQueued);
  EXPECT_EQ(second.queue_position, 1);
  for (int attempt = 1; attempt <= 3; ++attempt) {
    EXPECT_EQ(Get(first.id()).attempt, attempt);
    executor_->Exit(first.id(), attempt, absl::AbortedError("the worker process was ended by signal 9"));
  }
  EXPECT_EQ(State(first.id()), JobState::kFailed);
  EXPECT_THAT(Get(first.id()).error, StatusIs(absl::StatusCode::kAborted, HasSubstr("signal 9")));
  EXPECT_EQ(State(second.id()), JobState::kRunning);
  for (int attempt = 1; attempt <= 3; ++attempt) {
    executor_->Exit(second.id(), attempt, absl::OkStatus());
  }
  EXPECT_THAT(Get(second.id()).error, StatusIs(absl::StatusCode::kAborted, HasSubstr("without a result")));
}

// One that gets somewhere between two deaths may die as often as it likes.
TEST_F(JobManagerTest, AnEpochForgivesTheDeathsBeforeIt) {
  const JobRecord job = Submit(Train("a"));
  for (int attempt = 1; attempt <= 8; ++attempt) {
    ASSERT_THAT(Report(job.id(), attempt, 1, {Epoch(attempt)}), IsOk());
    executor_->Exit(job.id(), attempt, absl::AbortedError("signal 9"));
    EXPECT_EQ(State(job.id()), JobState::kRunning) << attempt;
  }
  EXPECT_EQ(Get(job.id()).epochs, 8);
}

TEST_F(JobManagerTest, AReportedFailureKeepsItsCode) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Failed(absl::DataLossError("the cache is damaged"))}), IsOk());
  EXPECT_EQ(State(job.id()), JobState::kFailed);
  EXPECT_EQ(Get(job.id()).error, absl::DataLossError("the cache is damaged"));
  jobs_->Tick();
  EXPECT_THAT(publishing_, IsEmpty());
}

// Findings 1 and 2: publishing was done again after a failed write or a crash, and destroyed what it had published.
TEST_F(JobManagerTest, AFailedWriteAfterPublishingIsMadeUpForAndNothingIsPublishedAgain) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Epoch(1), Succeeded()}), IsOk());
  FillTheDisk();
  jobs_->Tick();
  Pass(5);
  EXPECT_THAT(publishing_, ElementsAre("job-1"));
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_EQ(State(job.id()), JobState::kPublishing);
  FreeTheDisk();
  Pass(1);
  EXPECT_EQ(State(job.id()), JobState::kSucceeded);
  EXPECT_THAT(publishing_, ElementsAre("job-1"));
  EXPECT_THAT(published_, ElementsAre("job-1"));
}

TEST_F(JobManagerTest, AnEndThatTheLogDidNotTakeIsNotAcknowledged) {
  const JobRecord job = Submit(Train("a"));
  FillTheDisk();
  EXPECT_THAT(Report(job.id(), 1, 1, {Epoch(1), Succeeded()}), StatusIs(absl::StatusCode::kResourceExhausted, _));
  Pass(3);
  EXPECT_THAT(publishing_, IsEmpty());
  FreeTheDisk();
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse again, Report(job.id(), 1, 1, {Epoch(1), Succeeded()}));
  EXPECT_EQ(again.acknowledged(), 2);
  Pass(1);
  EXPECT_EQ(State(job.id()), JobState::kSucceeded);
  EXPECT_THAT(Log(job.id()), ElementsAre("1:queued", "2:running", "3:epoch1", "4:succeeded"));
}

TEST_F(JobManagerTest, AServerThatDiesPublishingFinishesThatAndRunsNothingAgain) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Succeeded()}), IsOk());
  testing::WriteText(data_.Staging(job.id(), 1) / "model.json", "{}");
  Open();
  EXPECT_THAT(publishing_, ElementsAre("job-1"));
  EXPECT_EQ(State(job.id()), JobState::kSucceeded);
  EXPECT_EQ(Get(job.id()).result["version"], 1);
  EXPECT_EQ(Get(job.id()).attempt, 1);
  EXPECT_THAT(executor_->launches(), IsEmpty());
}

TEST_F(JobManagerTest, CleaningUpThatACrashCutShortIsMadeUpFor) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Succeeded()}), IsOk());
  Pass(1);
  published_.clear();  // as if the server had died between the end and this
  Open();
  EXPECT_THAT(published_, ElementsAre("job-1"));
  EXPECT_THAT(publishing_, ElementsAre("job-1"));
}

TEST_F(JobManagerTest, APublishThatFailsForAWhileIsTriedAgainLaterAndLater) {
  publish_status_ = absl::ResourceExhaustedError("disk full");
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Succeeded()}), IsOk());
  const JobRecord next = Submit(Train("b"));
  EXPECT_EQ(next.state, JobState::kRunning);  // it needs a worker, which the first doesn't any more
  jobs_->Tick();
  EXPECT_EQ(publishing_.size(), 1U);
  Pass(1);
  EXPECT_EQ(publishing_.size(), 2U);
  Pass(1);
  EXPECT_EQ(publishing_.size(), 2U);
  Pass(1);
  EXPECT_EQ(publishing_.size(), 3U);
  EXPECT_THAT(jobs_->Cancel(job.id()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("done its work")));
  publish_status_ = absl::OkStatus();
  Pass(60);
  EXPECT_EQ(State(job.id()), JobState::kSucceeded);
}

TEST_F(JobManagerTest, AResultThatCanNeverBePublishedFailsTheJob) {
  publish_status_ = absl::AlreadyExistsError("models/a/1 is there already");
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Succeeded()}), IsOk());
  jobs_->Tick();
  EXPECT_EQ(State(job.id()), JobState::kFailed);
  EXPECT_THAT(Get(job.id()).error, StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("models/a/1")));
  EXPECT_TRUE(Get(job.id()).result.is_null());
  EXPECT_THAT(published_, IsEmpty());
  EXPECT_FALSE(fs::exists(data_.Staging(job.id(), 1)));
}

// Finding 4: a full disk left a job RUNNING without a worker, and the queue behind it, until a restart.
TEST_F(JobManagerTest, AFullDiskThatIsFreedAgainStopsNothingForGood) {
  const JobRecord first = Submit(Train("a"));
  const JobRecord second = Submit(Train("b"));
  FillTheDisk();
  executor_->Exit(first.id(), 1, absl::AbortedError("no space left"));
  Pass(10);
  EXPECT_EQ(State(first.id()), JobState::kRunning);
  EXPECT_EQ(State(second.id()), JobState::kQueued);
  FreeTheDisk();
  Pass(1);
  EXPECT_EQ(State(first.id()), JobState::kRunning);
  EXPECT_EQ(Get(first.id()).attempt, 2);
  ASSERT_THAT(Report(first.id(), 2, 1, {Failed(absl::AbortedError("no space left"))}), IsOk());
  EXPECT_EQ(State(second.id()), JobState::kRunning);
}

TEST_F(JobManagerTest, CancelWorksWhileTheDiskIsFull) {
  const JobRecord running = Submit(Train("a"));
  const JobRecord queued = Submit(Train("b"));
  FillTheDisk();
  ASSERT_OK_AND_ASSIGN(const JobRecord asked, jobs_->Cancel(running.id()));
  EXPECT_EQ(asked.wish, Wish::kCancel);
  EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(running.id(), 1)));
  EXPECT_TRUE(Report(running.id(), 1, 1, {})->stop());
  ASSERT_THAT(jobs_->Cancel(queued.id()), IsOk());
  executor_->Exit(running.id(), 1, absl::OkStatus());
  Pass(3);
  EXPECT_THAT(executor_->launches(), ::testing::SizeIs(1));
  FreeTheDisk();
  Pass(1);
  EXPECT_EQ(State(running.id()), JobState::kCancelled);
  EXPECT_EQ(State(queued.id()), JobState::kCancelled);
  EXPECT_THAT(executor_->launches(), ::testing::SizeIs(1));
}

TEST_F(JobManagerTest, TheReserveIsGivenUpForAJobsEndAndMadeAgain) {
  const fs::path reserve = dir_ / "reserve";
  EXPECT_EQ(fs::file_size(reserve), 8U << 20);
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(SetFailpoints("job_log.state.before=error:1"), IsOk());
  free_bytes_ = 0;
  ASSERT_THAT(Report(job.id(), 1, 1, {Failed(absl::AbortedError("x"))}), IsOk());
  EXPECT_EQ(State(job.id()), JobState::kFailed);  // the second try had the room
  EXPECT_FALSE(fs::exists(reserve));
  Pass(2);
  EXPECT_FALSE(fs::exists(reserve));
  free_bytes_ = int64_t{1} << 40;
  Pass(1);
  EXPECT_TRUE(fs::exists(reserve));
}

TEST_F(JobManagerTest, NothingIsQueuedOnADiskThatIsNearlyFull) {
  free_bytes_ = 1000;
  EXPECT_THAT(
      jobs_->Submit("", "sha", Train("a"), 0),
      StatusIs(absl::StatusCode::kResourceExhausted, AllOf(HasSubstr(dir_.path().string()), HasSubstr("1000"))));
}

TEST_F(JobManagerTest, CancelOfAQueuedJobIsAtOnceOfARunningOneWhenItsWorkerEnds) {
  const JobRecord running = Submit(Train("a"));
  const JobRecord queued = Submit(Train("b"));
  ASSERT_OK_AND_ASSIGN(const JobRecord cancelled, jobs_->Cancel(queued.id()));
  EXPECT_EQ(cancelled.state, JobState::kCancelled);
  ASSERT_OK_AND_ASSIGN(const JobRecord asked, jobs_->Cancel(running.id()));
  EXPECT_EQ(asked.state, JobState::kRunning);
  EXPECT_EQ(asked.wish, Wish::kCancel);
  EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(running.id(), 1)));
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse response, Report(running.id(), 1, 1, {Epoch(1)}));
  EXPECT_TRUE(response.stop());
  executor_->Exit(running.id(), 1, absl::OkStatus());
  EXPECT_EQ(State(running.id()), JobState::kCancelled);
  EXPECT_THAT(jobs_->Cancel(running.id()), IsOk());  // as it was asked for
  EXPECT_THAT(jobs_->Cancel("job-99"), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(jobs_->Cancel("nonsense"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nonsense")));
}

TEST_F(JobManagerTest, ACancelSurvivesTheServer) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(jobs_->Cancel(job.id()), IsOk());
  Open();
  EXPECT_EQ(State(job.id()), JobState::kCancelled);
}

TEST_F(JobManagerTest, APausedJobGivesItsPlaceAwayAndGetsItBack) {
  const JobRecord running = Submit(Train("a"));
  const JobRecord queued = Submit(Train("b"));
  ASSERT_THAT(Report(running.id(), 1, 1, {Epoch(1)}), IsOk());
  ASSERT_OK_AND_ASSIGN(const JobRecord asked, jobs_->Pause(running.id()));
  EXPECT_EQ(asked.state, JobState::kRunning);
  EXPECT_EQ(asked.wish, Wish::kPause);
  EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(running.id(), 1)));
  EXPECT_TRUE(Report(running.id(), 1, 2, {})->stop());
  EXPECT_EQ(State(queued.id()), JobState::kQueued);
  executor_->Exit(running.id(), 1, absl::OkStatus());
  EXPECT_EQ(State(running.id()), JobState::kPaused);
  EXPECT_EQ(Get(running.id()).wish, Wish::kNone);
  EXPECT_EQ(Get(running.id()).losses, 0);
  EXPECT_EQ(State(queued.id()), JobState::kRunning);
  EXPECT_EQ(jobs_->paused(), 1);
  EXPECT_THAT(jobs_->Pause(running.id()), IsOk());  // it is
  EXPECT_EQ(jobs_->UserOf({Resource::Type::kModel, "a"}), running.id());

  Open();  // it stays paused, and keeps its checkpoints
  EXPECT_EQ(State(running.id()), JobState::kPaused);
  const JobRecord later = Submit(Train("c"));
  ASSERT_OK_AND_ASSIGN(const JobRecord resumed, jobs_->Resume(running.id()));
  EXPECT_EQ(resumed.state, JobState::kQueued);
  EXPECT_EQ(resumed.queue_position, 1);
  EXPECT_EQ(Get(later.id()).queue_position, 2);
  ASSERT_THAT(Report(queued.id(), 2, 1, {Failed(absl::AbortedError("x"))}), IsOk());
  EXPECT_EQ(State(running.id()), JobState::kRunning);
  EXPECT_EQ(Get(running.id()).attempt, 2);
  EXPECT_THAT(Log(running.id()),
              ElementsAre("1:queued", "2:running", "3:epoch1", "4:line", "5:paused", "6:queued", "7:running"));
}

TEST_F(JobManagerTest, CheckpointsOutliveAPauseAndGoWithACancel) {
  const JobRecord job = Submit(Train("a"));
  testing::WriteText(data_.Checkpoints(job.id()) / "whole-1.safetensors", "x");
  ASSERT_THAT(jobs_->Pause(job.id()), IsOk());
  executor_->Exit(job.id(), 1, absl::OkStatus());
  Open();
  EXPECT_TRUE(fs::exists(data_.Checkpoints(job.id())));
  EXPECT_FALSE(fs::exists(data_.Staging(job.id(), 1)));
  ASSERT_OK_AND_ASSIGN(const JobRecord cancelled, jobs_->Cancel(job.id()));
  EXPECT_EQ(cancelled.state, JobState::kCancelled);
  Pass(1);
  EXPECT_FALSE(fs::exists(data_.Checkpoints(job.id())));
  EXPECT_THAT(jobs_->Resume(job.id()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cancelled")));
}

TEST_F(JobManagerTest, AQueuedJobIsPausedAtOnce) {
  const JobRecord running = Submit(Train("a"));
  const JobRecord queued = Submit(Train("b"));
  ASSERT_OK_AND_ASSIGN(const JobRecord paused, jobs_->Pause(queued.id()));
  EXPECT_EQ(paused.state, JobState::kPaused);
  EXPECT_EQ(paused.queue_position, 0);
  executor_->Exit(running.id(), 1, absl::OkStatus());  // it is started again, and not the other
  EXPECT_EQ(State(queued.id()), JobState::kPaused);
  ASSERT_OK_AND_ASSIGN(const JobRecord resumed, jobs_->Resume(queued.id()));
  EXPECT_EQ(resumed.state, JobState::kQueued);
  EXPECT_THAT(jobs_->Resume(queued.id()), IsOk());  // nothing to do
}

TEST_F(JobManagerTest, APauseIsTakenBackBeforeItsWorkerHasEnded) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(jobs_->Pause(job.id()), IsOk());
  ASSERT_OK_AND_ASSIGN(const JobRecord resumed, jobs_->Resume(job.id()));
  EXPECT_EQ(resumed.state, JobState::kRunning);
  EXPECT_EQ(resumed.wish, Wish::kRestart);
  executor_->Exit(job.id(), 1, absl::OkStatus());
  EXPECT_EQ(State(job.id()), JobState::kRunning);
  EXPECT_EQ(Get(job.id()).attempt, 2);
  EXPECT_EQ(Get(job.id()).losses, 0);
  EXPECT_EQ(Get(job.id()).wish, Wish::kNone);
  EXPECT_FALSE(Report(job.id(), 2, 1, {})->stop());
}

TEST_F(JobManagerTest, APauseThatComesTooLateChangesNothing) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(jobs_->Pause(job.id()), IsOk());
  ASSERT_THAT(Report(job.id(), 1, 1, {Epoch(1), Succeeded()}), IsOk());
  EXPECT_EQ(Get(job.id()).wish, Wish::kNone);
  EXPECT_THAT(jobs_->Pause(job.id()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("being put")));
  Pass(1);
  EXPECT_EQ(State(job.id()), JobState::kSucceeded);
  for (const auto& late : {jobs_->Pause(job.id()), jobs_->Resume(job.id()), jobs_->KeepBest(job.id())}) {
    EXPECT_THAT(late, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("succeeded")));
  }
}

TEST_F(JobManagerTest, TheBestWeightsAreKeptOnceThereAreSome) {
  const JobRecord job = Submit(Train("a"));
  EXPECT_THAT(jobs_->KeepBest(job.id()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no epoch")));
  EXPECT_FALSE(Report(job.id(), 1, 1, {Epoch(1)})->finish());
  ASSERT_OK_AND_ASSIGN(const JobRecord asked, jobs_->KeepBest(job.id()));
  EXPECT_EQ(asked.state, JobState::kRunning);
  EXPECT_EQ(asked.wish, Wish::kKeepBest);
  EXPECT_THAT(executor_->stops(), ::testing::IsEmpty());
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse response, Report(job.id(), 1, 2, {}));
  EXPECT_TRUE(response.finish());
  EXPECT_FALSE(response.stop());

  Open();  // it is asked for still, and after a pause too
  EXPECT_EQ(Get(job.id()).attempt, 2);
  EXPECT_TRUE(Report(job.id(), 2, 1, {})->finish());
  ASSERT_THAT(jobs_->Pause(job.id()), IsOk());
  executor_->Exit(job.id(), 2, absl::OkStatus());
  EXPECT_EQ(State(job.id()), JobState::kPaused);
  ASSERT_OK_AND_ASSIGN(const JobRecord again, jobs_->KeepBest(job.id()));
  EXPECT_EQ(again.state, JobState::kRunning);
  EXPECT_TRUE(Report(job.id(), 3, 1, {})->finish());
  ASSERT_THAT(Report(job.id(), 3, 1, {Succeeded()}), IsOk());
  Pass(1);
  EXPECT_EQ(State(job.id()), JobState::kSucceeded);
}

TEST_F(JobManagerTest, WhatIsBeingCancelledIsNeitherPausedNorKept) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Epoch(1)}), IsOk());
  ASSERT_THAT(jobs_->Pause(job.id()), IsOk());
  ASSERT_THAT(jobs_->Cancel(job.id()), IsOk());
  for (const auto& late : {jobs_->Pause(job.id()), jobs_->Resume(job.id()), jobs_->KeepBest(job.id())}) {
    EXPECT_THAT(late, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("being cancelled")));
  }
  executor_->Exit(job.id(), 1, absl::OkStatus());
  EXPECT_EQ(State(job.id()), JobState::kCancelled);
}

TEST_F(JobManagerTest, APauseWaitsForAFullDisk) {
  const JobRecord running = Submit(Train("a"));
  const JobRecord queued = Submit(Train("b"));
  FillTheDisk();
  ASSERT_OK_AND_ASSIGN(const JobRecord asked, jobs_->Pause(queued.id()));
  EXPECT_EQ(asked.wish, Wish::kPause);
  ASSERT_THAT(jobs_->Pause(running.id()), IsOk());
  EXPECT_TRUE(Report(running.id(), 1, 1, {})->stop());
  executor_->Exit(running.id(), 1, absl::OkStatus());
  Pass(3);
  EXPECT_THAT(executor_->launches(), ::testing::SizeIs(1));
  FreeTheDisk();
  Pass(1);
  EXPECT_EQ(State(running.id()), JobState::kPaused);
  EXPECT_EQ(State(queued.id()), JobState::kPaused);
}

TEST_F(JobManagerTest, PausedJobsCountAsQueuedOnes) {
  Submit(Train("a"));
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(jobs_->Pause(Submit(Train("a")).id()), IsOk());
  }
  EXPECT_THAT(jobs_->Submit("", "sha", Train("a"), 0),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("3 jobs are queued or paused")));
}

TEST_F(JobManagerTest, TheSameRequestIsOneJob) {
  const JobRecord job = Submit(Train("a"), "request-1");
  EXPECT_EQ(Submit(Train("a"), "request-1").id(), job.id());
  EXPECT_EQ(executor_->launches().size(), 1U);
  ASSERT_OK_AND_ASSIGN(const auto found, jobs_->FindRequest("request-1", "sha of a"));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id(), job.id());
  EXPECT_THAT(jobs_->FindRequest("request-1", "another"),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("request-1")));
  EXPECT_FALSE(jobs_->FindRequest("request-2", "sha of a")->has_value());
  EXPECT_FALSE(jobs_->FindRequest("", "sha of a")->has_value());
}

TEST_F(JobManagerTest, AFullQueueRefuses) {
  for (int i = 0; i < 4; ++i) {  // one runs, three wait
    Submit(Train("a"));
  }
  EXPECT_THAT(jobs_->Submit("", "sha", Train("a"), 0), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("3")));
}

TEST_F(JobManagerTest, VersionsRiseAndAreNeverGivenTwice) {
  for (int version = 1; version <= 3; ++version) {
    const JobRecord job = Submit(Train("a"));
    EXPECT_EQ(job.model_version, version);
    EXPECT_EQ(job.job.makes->version, version);
  }
  for (int i = 1; i <= 3; ++i) {
    ASSERT_THAT(Report("job-" + std::to_string(i), 1, 1, {Failed(absl::AbortedError("x"))}), IsOk());
  }
  Open();
  EXPECT_EQ(Submit(Train("a")).model_version, 4);
  EXPECT_EQ(jobs_->Submit("", "sha", Train("a"), 7)->model_version, 8);
  EXPECT_EQ(Submit(Train("b")).model_version, 1);
}

TEST_F(JobManagerTest, WithoutItsWorkerAJobOfAKilledServerRunsAgainAndTheOldWorkerIsFenced) {
  const JobRecord running = Submit(Train("a"), "request-1");
  const JobRecord queued = Submit(Train("b"));
  ASSERT_THAT(Report(running.id(), 1, 1, {Epoch(1)}), IsOk());
  Open();
  EXPECT_EQ(State(running.id()), JobState::kRunning);
  EXPECT_EQ(Get(running.id()).attempt, 2);
  EXPECT_EQ(State(queued.id()), JobState::kQueued);
  EXPECT_THAT(Log(running.id()), ElementsAre("1:queued", "2:running", "3:epoch1", "4:line", "5:queued", "6:running"));
  // It lives, after all.
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse late, Report(running.id(), 1, 2, {Epoch(2), Succeeded()}));
  EXPECT_TRUE(late.stop());
  EXPECT_EQ(late.acknowledged(), 3);
  EXPECT_EQ(Log(running.id()).size(), 6U);
  EXPECT_THAT(publishing_, IsEmpty());
  EXPECT_EQ(Submit(Train("a"), "request-1").id(), running.id());
}

TEST_F(JobManagerTest, AnotherIncarnationOfTheSameAttemptIsFencedToo) {
  const JobRecord job = Submit(Train("a"));
  v1::ReportRequest request = Request(job.id(), 1, 1, {Succeeded()});
  request.set_incarnation("0123");
  EXPECT_TRUE(jobs_->Report(request)->stop());
  EXPECT_EQ(State(job.id()), JobState::kRunning);
  v1::FetchAssignmentRequest fetch;
  fetch.set_job_id(job.id());
  fetch.set_attempt(1);
  EXPECT_THAT(jobs_->FetchAssignment(fetch), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("attempt 1")));
}

TEST_F(JobManagerTest, AWorkerThatOutlivesItsServerIsAdoptedAndItsJobGoesOn) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Epoch(1)}), IsOk());
  Open({{job.id(), 1}});
  EXPECT_THAT(executor_->adopted(), ::testing::SizeIs(1));
  EXPECT_THAT(executor_->launches(), IsEmpty());
  // The answer to the first report got lost.
  ASSERT_OK_AND_ASSIGN(const v1::ReportResponse next, Report(job.id(), 1, 1, {Epoch(1), Epoch(2)}));
  EXPECT_EQ(next.acknowledged(), 2);
  EXPECT_FALSE(next.stop());
  ASSERT_THAT(Report(job.id(), 1, 3, {Succeeded()}), IsOk());
  Pass(1);
  EXPECT_EQ(State(job.id()), JobState::kSucceeded);
  EXPECT_EQ(Get(job.id()).attempt, 1);
  EXPECT_THAT(Log(job.id()), ElementsAre("1:queued", "2:running", "3:epoch1", "4:epoch2", "5:succeeded"));
}

TEST_F(JobManagerTest, AnAdoptedWorkerThatNeverReportsIsEnded) {
  const JobRecord job = Submit(Train("a"));
  Open({{job.id(), 1}});
  Pass(61);
  EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(job.id(), 1)));
  executor_->Exit(job.id(), 1, absl::AbortedError("signal 9"));
  EXPECT_EQ(Get(job.id()).attempt, 2);
  EXPECT_EQ(State(job.id()), JobState::kRunning);
}

TEST_F(JobManagerTest, AJobThatKillsItsServerIsGivenUp) {
  const JobRecord job = Submit(Train("a"));
  Open();
  Open();
  EXPECT_EQ(Get(job.id()).attempt, 3);
  Open();
  EXPECT_EQ(State(job.id()), JobState::kFailed);
  EXPECT_THAT(Get(job.id()).error, StatusIs(absl::StatusCode::kAborted, HasSubstr("3 times")));
}

// A crash run told epochs 1 to 5 twice: the server had died before a change of state wrote down that they were told.
TEST_F(JobManagerTest, EpochsThatWereToldBeforeACrashAreNotToldAgain) {
  const JobRecord job = Submit(Train("a"));
  int told = 0;
  for (int attempt = 1; attempt <= 5; ++attempt) {
    ASSERT_THAT(Report(job.id(), attempt, 1, {Epoch(told + 1), Epoch(told + 2)}), IsOk());
    told += 2;
    Open();
    ASSERT_EQ(Get(job.id()).attempt, attempt + 1) << "given up, though it got somewhere";
    v1::FetchAssignmentRequest fetch;
    fetch.set_job_id(job.id());
    fetch.set_attempt(attempt + 1);
    fetch.set_incarnation(executor_->launches().at(0).incarnation);
    EXPECT_EQ(jobs_->FetchAssignment(fetch)->epochs(), told);
  }
}

// Finding 19: a hung worker stayed RUNNING for ever.
TEST_F(JobManagerTest, AWorkerThatGoesQuietIsEndedAndItsJobStartsAgain) {
  const JobRecord job = Submit(Train("a"));
  Pass(50);
  ASSERT_THAT(Report(job.id(), 1, 1, {}), IsOk());  // a heartbeat
  Pass(59);
  EXPECT_THAT(executor_->stops(), IsEmpty());
  Pass(2);
  EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(job.id(), 1)));
  EXPECT_TRUE(Report(job.id(), 1, 1, {Succeeded()})->stop());  // too late
  executor_->Exit(job.id(), 1, absl::AbortedError("signal 9"));
  EXPECT_EQ(Get(job.id()).attempt, 2);
  EXPECT_EQ(State(job.id()), JobState::kRunning);
  EXPECT_THAT(Log(job.id()), ElementsAre("1:queued", "2:running", "3:line", "4:queued", "5:running"));
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("wasn't heard of")));
}

TEST_F(JobManagerTest, AQuietWorkerThatCannotBeEndedDoesNotKeepItsJob) {
  const JobRecord job = Submit(Train("a"));
  Pass(61);
  EXPECT_EQ(Get(job.id()).attempt, 1);
  Pass(61);
  EXPECT_EQ(Get(job.id()).attempt, 2);
  executor_->Exit(job.id(), 1, absl::AbortedError("at last"));
  EXPECT_EQ(State(job.id()), JobState::kRunning);
}

// Three jobs failed so on a machine with ten compilers at work.
TEST_F(JobManagerTest, AWorkerThatIsStarvedIsNotTakenForLost) {
  const JobRecord job = Submit(Train("a"));
  for (int i = 0; i < 14; ++i) {
    executor_->Compute(job.id(), 1, absl::Milliseconds(10));
    Pass(59);
  }
  EXPECT_THAT(executor_->stops(), IsEmpty());
  EXPECT_FALSE(Report(job.id(), 1, 1, {Epoch(1)})->stop());
  // From then on it hangs.
  Pass(60);
  EXPECT_THAT(executor_->stops(), IsEmpty());
  Pass(2);
  EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(job.id(), 1)));
}

TEST_F(JobManagerTest, AWorkerThatComputesWithoutAWordIsEndedInTheEnd) {
  const JobRecord job = Submit(Train("a"));
  for (int i = 0; i < 15 * 60; ++i) {
    executor_->Compute(job.id(), 1, absl::Seconds(1));
    Pass(1);
  }
  EXPECT_THAT(executor_->stops(), IsEmpty());
  executor_->Compute(job.id(), 1, absl::Seconds(1));
  Pass(1);
  EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(job.id(), 1)));
  // It was told to end, so that computing helps it no more.
  for (int i = 0; i < 61; ++i) {
    executor_->Compute(job.id(), 1, absl::Seconds(1));
    Pass(1);
  }
  EXPECT_EQ(Get(job.id()).attempt, 2);
}

// Finding 19: a server that was stopped for a while took its own silence for its workers'.
TEST_F(JobManagerTest, TheServersOwnStandstillIsNoWorkersFault) {
  const JobRecord job = Submit(Train("a"));
  Pass(10);
  Advance(absl::Seconds(70));
  Pass(59);
  EXPECT_THAT(executor_->stops(), IsEmpty());
  EXPECT_THAT(Report(job.id(), 1, 1, {Epoch(1)}), IsOk());
  EXPECT_EQ(Get(job.id()).attempt, 1);
}

TEST_F(JobManagerTest, AWorkerThatDoesNotLeaveAfterItsEndIsEnded) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Succeeded()}), IsOk());
  Pass(59);
  EXPECT_THAT(executor_->stops(), IsEmpty());
  Pass(2);
  EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(job.id(), 1)));
  EXPECT_EQ(State(job.id()), JobState::kSucceeded);
}

TEST_F(JobManagerTest, AWorkerThatCannotBeStartedFailsTheJob) {
  executor_->FailStarts(absl::NotFoundError("no graft-worker"));
  const JobRecord job = Submit(Train("a"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.error, StatusIs(absl::StatusCode::kNotFound, HasSubstr("no graft-worker")));
}

TEST_F(JobManagerTest, AJobWhoseFolderCannotBeMadeYetStaysQueued) {
  ASSERT_THAT(SetFailpoints("attempt.create=error"), IsOk());
  const JobRecord job = Submit(Train("a"));
  EXPECT_EQ(job.state, JobState::kQueued);
  EXPECT_EQ(job.queue_position, 1);
  FreeTheDisk();
  Pass(1);
  EXPECT_EQ(State(job.id()), JobState::kRunning);
  EXPECT_EQ(Get(job.id()).attempt, 1);
}

TEST_F(JobManagerTest, RestartsThatWereMeantDoNotCountAgainstAJob) {
  const JobRecord job = Submit(Train("a"));
  for (int i = 0; i < 4; ++i) {
    jobs_->Shutdown();
    Open();
  }
  Open();
  EXPECT_EQ(Get(job.id()).attempt, 6);
  EXPECT_EQ(State(job.id()), JobState::kRunning);
}

TEST_F(JobManagerTest, AGracefulShutdownPutsJobsBackIntoTheQueue) {
  const JobRecord job = Submit(Train("a"));
  for (int i = 1; i <= 5; ++i) {  // more often than a job is started after crashes
    jobs_->Shutdown();
    EXPECT_EQ(State(job.id()), JobState::kQueued);
    EXPECT_THAT(executor_->stops(), ElementsAre(std::pair<std::string, int>(job.id(), i)));
    EXPECT_THAT(jobs_->Submit("", "sha", Train("b"), 0), StatusIs(absl::StatusCode::kUnavailable, _));
    Open();
    EXPECT_EQ(Get(job.id()).attempt, i + 1);
  }
}

// Finding 21: killed servers left a folder of each attempt.
TEST_F(JobManagerTest, WhatAttemptsLeaveBehindIsSwept) {
  const JobRecord job = Submit(Train("a"));
  testing::WriteText(data_.Staging(job.id(), 1) / "half.safetensors", "x");
  testing::WriteText(data_.Attempt(job.id(), 1) / "worker.log", "its words");
  testing::WriteText(data_.Staging("job-77", 2) / "half.safetensors", "x");
  Open();
  EXPECT_FALSE(fs::exists(data_.Staging(job.id(), 1)));
  EXPECT_TRUE(fs::exists(data_.Attempt(job.id(), 1) / "worker.log"));
  EXPECT_FALSE(fs::exists(data_.Staging("job-77", 2)));
  EXPECT_TRUE(fs::exists(data_.Staging(job.id(), 2)));  // at work
  executor_->Exit(job.id(), 2, absl::AbortedError("x"));
  Pass(1);
  EXPECT_FALSE(fs::exists(data_.Staging(job.id(), 2)));
  // A log that is started anew gives nobody the number of an old one.
  Open();
  EXPECT_EQ(Submit(Train("b")).id(), "job-78");
}

TEST_F(JobManagerTest, TheStagingOfAnAdoptedWorkerStays) {
  const JobRecord job = Submit(Train("a"));
  testing::WriteText(data_.Staging(job.id(), 1) / "model.json", "{}");
  Open({{job.id(), 1}});
  EXPECT_TRUE(fs::exists(data_.Staging(job.id(), 1) / "model.json"));
}

// Low findings: the same upload in two queued splits; submit racing with delete.
TEST_F(JobManagerTest, AnUploadIsForOneJob) {
  Submit(Split("a", "u"));
  EXPECT_THAT(jobs_->Submit("", "sha", Split("b", "u"), 0),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("job-1")));
  EXPECT_THAT(jobs_->Submit("", "sha", Split("a", "v"), 0),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("job-1")));
  EXPECT_EQ(jobs_->MakerOf({Type::kDataset, "a"}), "job-1");
  EXPECT_TRUE(jobs_->InUse({Type::kUpload, "u"}));
  EXPECT_FALSE(jobs_->InUse({Type::kUpload, "v"}));
}

TEST_F(JobManagerTest, WhatIsBeingDeletedIsQueuedForByNobodyAndTheOtherWayRound) {
  const Resource pets{Type::kDataset, "pets"};
  EXPECT_THAT(jobs_->WhileUnused(pets,
                                 [&] {
                                   EXPECT_THAT(jobs_->Submit("", "sha", Train("a"), 0),
                                               StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("deleted")));
                                   return absl::OkStatus();
                                 }),
              IsOk());
  EXPECT_THAT(jobs_->WhileUnused(pets, [] { return absl::NotFoundError("gone"); }),
              StatusIs(absl::StatusCode::kNotFound, "gone"));
  const JobRecord job = Submit(Train("a"));
  EXPECT_THAT(jobs_->WhileUnused(pets, [] { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(job.id())));
}

TEST_F(JobManagerTest, WhatWasDeletedSinceTheJobWasResolvedIsMissed) {
  const ResolvedJob resolved = Train("a");
  ASSERT_THAT(jobs_->WhileUnused({Type::kDataset, "pets"},
                                 [&] {
                                   fs::remove_all(data_.Dataset("pets"));
                                   return absl::OkStatus();
                                 }),
              IsOk());
  EXPECT_THAT(jobs_->Submit("", "sha", resolved, 0), StatusIs(absl::StatusCode::kNotFound, HasSubstr("pets")));
  EXPECT_FALSE(jobs_->InUse({Type::kDataset, "pets"}));
}

TEST_F(JobManagerTest, SubscribersHearOfEachChangeUntilTheyLeave) {
  const JobRecord job = Submit(Train("a"));
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

TEST_F(JobManagerTest, ASubscriberWaitsOnlyForItsOwnNotification) {
  const JobRecord job = Submit(Train("a"));
  absl::Notification inside;
  absl::Notification leave;
  ASSERT_OK_AND_ASSIGN(const int64_t slow, jobs_->Subscribe(job.id(), [&] {
    inside.Notify();
    leave.WaitForNotification();
  }));
  ASSERT_OK_AND_ASSIGN(const int64_t other, jobs_->Subscribe(job.id(), [] {}));
  std::thread reporter([&] { EXPECT_THAT(Report(job.id(), 1, 1, {Epoch(1)}), IsOk()); });
  inside.WaitForNotification();
  jobs_->Unsubscribe(other);
  EXPECT_EQ(State(job.id()), JobState::kRunning);  // no lock is held over it either
  leave.Notify();
  jobs_->Unsubscribe(slow);
  reporter.join();
}

// Finding 22: readers waited for the disk under the manager's lock.
TEST_F(JobManagerTest, NobodyWaitsForTheDiskButWhoWrites) {
  const JobRecord job = Submit(Train("a"));
  SQLite::Database other((dir_ / "jobs.sqlite").string(), SQLite::OPEN_READWRITE);
  other.exec("BEGIN IMMEDIATE");  // our writer waits for this inside of SQLite
  std::atomic<bool> reported{false};
  const v1::ReportRequest request = Request(job.id(), 1, 1, {Epoch(1)});
  std::thread reporter([&] {
    EXPECT_THAT(jobs_->Report(request), IsOk());
    reported = true;
  });
  EXPECT_EQ(State(job.id()), JobState::kRunning);
  EXPECT_EQ(jobs_->List({})->size(), 1U);
  EXPECT_EQ(Log(job.id()).size(), 2U);
  EXPECT_EQ(jobs_->running(), 1);
  EXPECT_TRUE(jobs_->InUse({Type::kDataset, "pets"}));
  ASSERT_OK_AND_ASSIGN(const int64_t subscription, jobs_->Subscribe(job.id(), [] {}));
  jobs_->Unsubscribe(subscription);
  EXPECT_THAT(jobs_->Report(Request(job.id(), 1, 1, {})), IsOk());  // a heartbeat
  EXPECT_FALSE(reported);
  other.exec("ROLLBACK");
  reporter.join();
  EXPECT_EQ(Log(job.id()).size(), 3U);
}

TEST_F(JobManagerTest, NobodyWaitsForPublishing) {
  jobs_->Shutdown();
  absl::Notification inside;
  absl::Notification leave;
  JobHooks hooks;
  hooks.publish = [&](const JobRecord&, const fs::path&) {
    inside.Notify();
    leave.WaitForNotification();
    return absl::OkStatus();
  };
  JobManagerOptions options = Options();
  options.threads = true;
  ASSERT_OK_AND_ASSIGN(jobs_, JobManager::Open(options, executor_.get(), hooks));
  jobs_->Start();
  const JobRecord job = Submit(Train("a"));
  AwaitLaunch(job.id());
  absl::Notification ended;
  ASSERT_OK_AND_ASSIGN(const int64_t subscription, jobs_->Subscribe(job.id(), [&] {
    if (State(job.id()) == JobState::kSucceeded) {
      ended.Notify();
    }
  }));
  ASSERT_THAT(Report(job.id(), 1, 1, {Succeeded()}), IsOk());
  inside.WaitForNotification();
  EXPECT_EQ(State(job.id()), JobState::kPublishing);
  const JobRecord next = Submit(Train("b"));
  AwaitLaunch(next.id());
  EXPECT_THAT(Report(next.id(), 1, 1, {Epoch(1)}), IsOk());
  EXPECT_THAT(jobs_->Cancel(next.id()), IsOk());
  EXPECT_EQ(jobs_->List({})->size(), 2U);
  leave.Notify();
  ended.WaitForNotification();
  jobs_->Unsubscribe(subscription);
}

TEST_F(JobManagerTest, EventsBeyondTheLastAreOutOfRange) {
  const JobRecord job = Submit(Train("a"));
  EXPECT_THAT(jobs_->Events(job.id(), 3), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("3")));
  EXPECT_THAT(jobs_->Events(job.id(), -1), StatusIs(absl::StatusCode::kOutOfRange, _));
  EXPECT_THAT(jobs_->Events(job.id(), 2), IsOk());
}

TEST_F(JobManagerTest, ListsShowWhatIsInMemory) {
  Submit(Train("a"));
  Submit(Train("b"));
  JobProgress progress;
  progress.phase = "train";
  progress.done = 7;
  ASSERT_THAT(Report("job-1", 1, 1, {progress}), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::vector<JobRecord> all, jobs_->List({}));
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].queue_position, 1);
  EXPECT_EQ(all[1].progress->done, 7);
  EXPECT_EQ(all[1].last_sequence, 3);
  ASSERT_THAT(Report("job-1", 1, 2, {Succeeded()}), IsOk());
  JobFilter running;
  running.states = {JobState::kRunning};
  EXPECT_EQ(jobs_->List(running)->size(), 2U);  // one of them is being published
}

TEST_F(JobManagerTest, AWatchOfADamagedEndStillEnds) {
  const JobRecord job = Submit(Train("a"));
  ASSERT_THAT(Report(job.id(), 1, 1, {Failed(absl::DataLossError("cache"))}), IsOk());
  {
    SQLite::Database db((dir_ / "jobs.sqlite").string(), SQLite::OPEN_READWRITE);
    db.exec("UPDATE events SET body = 'nonsense' WHERE sequence = 3");
  }
  ASSERT_OK_AND_ASSIGN(const JobManager::EventPage page, jobs_->Events(job.id(), 0));
  EXPECT_TRUE(page.ended);
  const auto* end = std::get_if<JobStateChange>(&page.events.back().body);
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(end->error, absl::DataLossError("cache"));
}

TEST_F(JobManagerTest, ADamagedRowFailsNeitherTheStartNorTheList) {
  Submit(Train("a"), "request-1");
  Submit(Train("b"));
  {
    SQLite::Database db((dir_ / "jobs.sqlite").string(), SQLite::OPEN_READWRITE);
    db.exec("UPDATE jobs SET document = replace(document, 'pets', 'pest') WHERE number = 1");
  }
  Open();
  EXPECT_EQ(jobs_->List({})->size(), 2U);
  EXPECT_THAT(Get("job-1").error, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("job-1")));
  EXPECT_TRUE(jobs_->Events("job-1", 0)->ended);
  EXPECT_THAT(jobs_->FindRequest("request-1", "sha of a"), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_EQ(State("job-2"), JobState::kRunning);
}

// Reports, cancels, exits, readers and subscribers at the same time, for the thread sanitizer; every job ends.
TEST_F(JobManagerTest, ManyAtOnce) {
  jobs_->Shutdown();
  JobManagerOptions options = Options();
  options.threads = true;
  options.tick = absl::Milliseconds(1);
  options.max_running = 4;
  options.max_queued = 1000;
  options.now_ms = [] { return int64_t{1}; };
  options.steady = [] { return absl::ZeroDuration(); };
  JobHooks hooks;
  hooks.publish = [](const JobRecord&, const fs::path&) { return absl::OkStatus(); };
  ASSERT_OK_AND_ASSIGN(jobs_, JobManager::Open(options, executor_.get(), hooks));
  jobs_->Start();
  constexpr int kJobs = 40;
  std::vector<std::string> ids;
  for (int i = 0; i < kJobs; ++i) {
    ids.push_back(Submit(Train("a")).id());
  }
  std::atomic<bool> done{false};
  std::thread worker([&] {
    size_t served = 0;
    while (!done) {
      const std::vector<WorkerLaunch> launches = executor_->launches();
      for (; served < launches.size(); ++served) {
        const WorkerLaunch& launch = launches[served];
        v1::ReportRequest request;
        request.set_job_id(launch.job_id);
        request.set_attempt(launch.attempt);
        request.set_incarnation(launch.incarnation);
        request.set_first_sequence(1);
        request.add_events(DocumentText(ToJson(Epoch(1))));
        if (launch.attempt > 1 || served % 3 != 0) {  // the others die, and their jobs start again
          request.add_events(DocumentText(ToJson(Succeeded())));
        }
        EXPECT_THAT(jobs_->Report(request), IsOk());
        executor_->Exit(launch.job_id, launch.attempt, absl::OkStatus());
      }
      std::this_thread::yield();
    }
  });
  std::thread canceller([&] {
    for (size_t i = 0; i < ids.size(); i += 5) {
      jobs_->Cancel(ids[i]).status().IgnoreError();
    }
  });
  int ended = 0;
  while (ended < kJobs) {
    ended = 0;
    for (const std::string& id : ids) {
      const auto subscription = jobs_->Subscribe(id, [] {});
      ASSERT_THAT(subscription, IsOk());
      const auto page = jobs_->Events(id, 0);
      ASSERT_THAT(page, IsOk());
      ended += page->ended ? 1 : 0;
      jobs_->Unsubscribe(*subscription);
    }
  }
  done = true;
  worker.join();
  canceller.join();
  EXPECT_EQ(jobs_->running() + jobs_->queued(), 0);
}

}  // namespace
}  // namespace graft
