#include "worker/reporter.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "core/base/mutex.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

// A server that answers as the test says, on a Unix socket.
class Server : public v1::WorkerService::Service {
 public:
  using FetchFn = std::function<grpc::Status(const v1::FetchAssignmentRequest&, v1::Assignment*)>;
  using ReportFn = std::function<grpc::Status(const v1::ReportRequest&, v1::ReportResponse*)>;

  Server(const std::string& address, FetchFn fetch, ReportFn report)
      : fetch_(std::move(fetch)), report_(std::move(report)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    EXPECT_NE(server_, nullptr);
  }
  ~Server() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status FetchAssignment(grpc::ServerContext*, const v1::FetchAssignmentRequest* request,
                               v1::Assignment* response) override {
    return fetch_(*request, response);
  }
  grpc::Status Report(grpc::ServerContext*, const v1::ReportRequest* request, v1::ReportResponse* response) override {
    return report_(*request, response);
  }

 private:
  const FetchFn fetch_;
  const ReportFn report_;
  std::unique_ptr<grpc::Server> server_;
};

class ReporterTest : public ::testing::Test {
 protected:
  ReporterTest() {
    options_.server = absl::StrCat("unix:", (dir_ / "worker.sock").string());
    options_.job_id = "job-1";
    options_.attempt = 2;
    options_.incarnation = "0f";
    options_.interval = absl::Milliseconds(5);
  }

  std::unique_ptr<Server> Serve() {
    return std::make_unique<Server>(
        options_.server,
        [this](const v1::FetchAssignmentRequest& request, v1::Assignment* assignment) {
          EXPECT_EQ(request.incarnation(), "0f");
          assignment->set_kind("train");
          const MutexLock lock(&mutex_);
          if (fetch_failures_ > 0) {
            --fetch_failures_;
            return grpc::Status(grpc::StatusCode::UNAVAILABLE, "starting");
          }
          return fetch_status_;
        },
        [this](const v1::ReportRequest& request, v1::ReportResponse* response) {
          const MutexLock lock(&mutex_);
          ++reports_;
          if (!report_status_.ok()) {
            return report_status_;
          }
          EXPECT_EQ(request.job_id(), "job-1");
          EXPECT_EQ(request.attempt(), 2);
          EXPECT_EQ(request.incarnation(), "0f");
          const auto known = static_cast<int64_t>(events_.size());
          EXPECT_LE(request.first_sequence(), known + 1);  // no gap
          for (int i = 0; i < request.events_size(); ++i) {
            if (request.first_sequence() + i > static_cast<int64_t>(events_.size())) {
              events_.push_back(JobEventBodyFromJson(ParseDocument(request.events(i)).value()).value());
            }
          }
          if (lose_answers_ > 0) {
            --lose_answers_;
            return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the answer got lost");
          }
          response->set_acknowledged(static_cast<int64_t>(events_.size()));
          response->set_stop(stop_);
          return grpc::Status::OK;
        });
  }
  void AwaitReports(int more) {
    const MutexLock lock(&mutex_);
    const int target = reports_ + more;
    const auto there = [this, target]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return reports_ >= target; };
    mutex_.Await(absl::Condition(&there));
  }
  static JobProgress Step(int step) {
    JobProgress progress;
    progress.phase = "train";
    progress.done = step;
    progress.steps = {{step, 0.5, 0.5}};
    return progress;
  }
  static JobStateChange End() { return {JobState::kSucceeded, absl::OkStatus(), {{"images", 3}}}; }

  const testing::TempDir dir_;
  ReporterOptions options_;
  Mutex mutex_;
  std::vector<JobEventBody> events_ ABSL_GUARDED_BY(mutex_);
  int reports_ ABSL_GUARDED_BY(mutex_) = 0;
  int fetch_failures_ ABSL_GUARDED_BY(mutex_) = 0;
  int lose_answers_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status fetch_status_ ABSL_GUARDED_BY(mutex_);
  grpc::Status report_status_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(ReporterTest, EveryStepArrivesOnceAndInOrder) {
  const auto server = Serve();
  Reporter reporter(options_);
  {
    const MutexLock lock(&mutex_);
    lose_answers_ = 3;
  }
  for (int i = 1; i <= 500; ++i) {
    reporter.Progress(Step(i));
    if (i % 100 == 0) {
      EpochMetrics epoch;
      epoch.epoch = i / 100;
      reporter.Epoch(epoch);
      reporter.Line({"line", false});
    }
  }
  ASSERT_THAT(reporter.Finish(End()), IsOk());
  const MutexLock lock(&mutex_);
  int steps = 0;
  int epochs = 0;
  for (const JobEventBody& event : events_) {
    if (const auto* progress = std::get_if<JobProgress>(&event)) {
      for (const StepMetrics& step : progress->steps) {
        EXPECT_EQ(step.step, ++steps);
      }
    } else if (const auto* epoch = std::get_if<EpochMetrics>(&event)) {
      EXPECT_EQ(epoch->epoch, ++epochs);
      EXPECT_EQ(steps, 100 * epochs);
    }
  }
  EXPECT_EQ(steps, 500);
  EXPECT_EQ(epochs, 5);
  EXPECT_EQ(std::get<JobStateChange>(events_.back()).result["images"], 3);
}

// Finding 19: one try of FetchAssignment, and a server that was stopped for a while failed the job.
TEST_F(ReporterTest, FetchingIsTriedUntilTheServerIsThere) {
  {
    const MutexLock lock(&mutex_);
    fetch_failures_ = 5;
  }
  Reporter reporter(options_);
  std::unique_ptr<Server> server;
  std::thread late([&] { server = Serve(); });
  ASSERT_OK_AND_ASSIGN(const v1::Assignment assignment, reporter.FetchAssignment());
  EXPECT_EQ(assignment.kind(), "train");
  late.join();
}

TEST_F(ReporterTest, AnAttemptThatIsOverIsNotTriedAgain) {
  const auto server = Serve();
  {
    const MutexLock lock(&mutex_);
    fetch_status_ = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "attempt 2 isn't to run");
  }
  Reporter reporter(options_);
  EXPECT_THAT(reporter.FetchAssignment(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("attempt 2")));
}

TEST_F(ReporterTest, AServerThatComesBackGetsWhatTheOldOneDidNot) {
  auto server = Serve();
  Reporter reporter(options_);
  reporter.Line({"first", false});
  AwaitReports(3);
  server.reset();
  reporter.Line({"second", false});
  std::thread finish([&] { EXPECT_THAT(reporter.Finish(End()), IsOk()); });
  server = Serve();
  finish.join();
  const MutexLock lock(&mutex_);
  ASSERT_EQ(events_.size(), 3U);
  EXPECT_EQ(std::get<JobLogLine>(events_[1]).text, "second");
}

TEST_F(ReporterTest, AFullDiskOfTheServerIsWaitedFor) {
  const auto server = Serve();
  options_.give_up = absl::Milliseconds(1);  // a server that answers is there
  {
    const MutexLock lock(&mutex_);
    report_status_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "disk full");
  }
  Reporter reporter(options_);
  std::thread finish([&] { EXPECT_THAT(reporter.Finish(End()), IsOk()); });
  AwaitReports(5);
  {
    const MutexLock lock(&mutex_);
    report_status_ = grpc::Status::OK;
  }
  finish.join();
  EXPECT_FALSE(reporter.stopped());
}

TEST_F(ReporterTest, WithoutAServerItGivesUpInTheEnd) {
  options_.give_up = absl::Milliseconds(50);
  options_.call_timeout = absl::Milliseconds(20);
  Reporter reporter(options_);
  EXPECT_THAT(reporter.FetchAssignment(), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("cannot fetch")));
  EXPECT_THAT(reporter.Finish(End()), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cannot report")));
  EXPECT_TRUE(reporter.stopped());
}

TEST_F(ReporterTest, ARefusedEventEndsTheWorkerRatherThanHangingIt) {
  const auto server = Serve();
  {
    const MutexLock lock(&mutex_);
    report_status_ = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "events[0]: no");
  }
  Reporter reporter(options_);
  EXPECT_THAT(reporter.Finish(End()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("events[0]")));
  EXPECT_TRUE(reporter.stopped());
}

TEST_F(ReporterTest, AHeartbeatBringsACancel) {
  const auto server = Serve();
  Reporter reporter(options_);
  EXPECT_FALSE(reporter.stopped());
  {
    const MutexLock lock(&mutex_);
    stop_ = true;
  }
  while (!reporter.stopped()) {
    std::this_thread::yield();
  }
}

TEST_F(ReporterTest, ManyStepsAreSplitOverEvents) {
  const auto server = Serve();
  {
    const MutexLock lock(&mutex_);
    report_status_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "not yet");
  }
  options_.interval = absl::Seconds(5);  // nothing is flushed but by its size
  Reporter reporter(options_);
  for (int i = 1; i <= 2500; ++i) {
    reporter.Progress(Step(i));
  }
  {
    const MutexLock lock(&mutex_);
    report_status_ = grpc::Status::OK;
  }
  ASSERT_THAT(reporter.Finish(End()), IsOk());
  const MutexLock lock(&mutex_);
  ASSERT_EQ(events_.size(), 4U);
  EXPECT_EQ(std::get<JobProgress>(events_[0]).steps.size(), 1000U);
  EXPECT_EQ(std::get<JobProgress>(events_[2]).steps.size(), 500U);
}

}  // namespace
}  // namespace graft
