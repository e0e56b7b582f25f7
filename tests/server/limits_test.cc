// What the whole server refuses, and that whoever isn't refused is served meanwhile.
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <sstream>
#include <thread>

#include "absl/synchronization/blocking_counter.h"
#include "tests/testing/server_fixture.h"

namespace graft {
namespace {

using ::graft::testing::Context;
using ::graft::testing::NewChannel;
using ::testing::HasSubstr;

using LimitsTest = testing::ServerFixture;

TEST_F(LimitsTest, AFolderNameOf20MbIsRefusedAndLoggedShort) {
  const auto before = spdlog::default_logger();
  std::ostringstream log;
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  v1::JobSpec spec = Split("pets");
  spec.mutable_split()->set_folder(std::string(20 << 20, '\x01'));
  v1::Job job;
  const grpc::Status status = Submit(spec, &job);
  EXPECT_EQ(Code(status), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("spec.split.folder"));
  EXPECT_LT(status.error_message().size(), 200U);
  server_ = nullptr;
  spdlog::set_default_logger(before);
  EXPECT_THAT(log.str(), HasSubstr("SubmitJob"));
  EXPECT_LT(log.str().size(), 1000U);
}

TEST_F(LimitsTest, AModelIsLoadedOnceAndWhoWaitsForItHoldsUpNobody) {
  AddModel(1);
  engine_->CloseGate();
  constexpr int kCallers = 64;
  struct Caller {
    std::unique_ptr<grpc::ClientContext> context = Context();
    v1::ClassifyResponse response;
    grpc::Status status;
  };
  const v1::ClassifyRequest request = ClassifyRequest("cat.0.jpg");
  std::vector<Caller> callers(kCallers);
  absl::BlockingCounter left(kCallers);
  for (Caller& caller : callers) {
    predictions_->async()->Classify(caller.context.get(), &request, &caller.response, [&](grpc::Status status) {
      caller.status = std::move(status);
      left.DecrementCount();
    });
  }
  engine_->AwaitLoads(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(GetStatus().ok());
  }
  engine_->OpenGate();
  left.Wait();
  for (const Caller& caller : callers) {
    EXPECT_TRUE(caller.status.ok()) << caller.status.error_message();
  }
  EXPECT_EQ(engine_->loads(), 1);
}

TEST_F(LimitsTest, AnExtractorIsLoadedOnceAndOffThePool) {
  engine_->CloseGate();
  constexpr int kCallers = 8;
  std::vector<std::thread> callers;
  std::atomic<int> failed{0};
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&] {
      v1::ExtractFeaturesRequest request;
      request.set_trunk("vgg16");
      request.set_image(testing::ReadText(testing::Sample("cat.0.jpg")));
      v1::ExtractFeaturesResponse response;
      failed += !predictions_->ExtractFeatures(Context().get(), request, &response).ok();
    });
  }
  engine_->AwaitLoads(1);
  EXPECT_TRUE(GetStatus().ok());
  engine_->OpenGate();
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(engine_->loads(), 1);
}

TEST_F(LimitsTest, StreamsOfAKindAreCounted) {
  options_.max_watch_streams = 2;
  options_.max_bulk_streams = 1;
  StartServer();
  v1::Job job;
  ASSERT_TRUE(Submit(Split("pets"), &job).ok());
  v1::WatchJobRequest request;
  request.set_id(job.id());
  v1::JobEvent event;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::JobEvent>>> watches;
  for (int i = 0; i < 2; ++i) {
    contexts.push_back(Context());
    watches.push_back(jobs_->WatchJob(contexts.back().get(), request));
    ASSERT_TRUE(watches.back()->Read(&event));
  }
  const auto third = Context();
  const grpc::Status refused = jobs_->WatchJob(third.get(), request)->Finish();
  EXPECT_EQ(Code(refused), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("--max-watch-streams"));

  const auto upload = Context();
  v1::UploadImagesResponse response;
  auto first = datasets_->UploadImages(upload.get(), &response);
  v1::UploadImagesRequest path;
  path.set_path("cat.jpg");
  ASSERT_TRUE(first->Write(path));
  while (std::filesystem::is_empty(dir_ / "data/incoming")) {
    std::this_thread::yield();
  }
  EXPECT_EQ(Code(Upload({{"a", "x"}}, &response)), grpc::StatusCode::RESOURCE_EXHAUSTED);
  first->WritesDone();
  EXPECT_TRUE(first->Finish().ok());

  // A place that is left is taken again, as soon as the server has noticed.
  contexts.front()->TryCancel();
  EXPECT_EQ(Code(watches.front()->Finish()), grpc::StatusCode::CANCELLED);
  grpc::Status status;
  do {
    const auto context = Context();
    auto watch = jobs_->WatchJob(context.get(), request);
    if (watch->Read(&event)) {
      context->TryCancel();
    }
    status = watch->Finish();
  } while (Code(status) == grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Code(status), grpc::StatusCode::CANCELLED);
}

// Hundreds of watchers, asleep, then all woken at once, again and again.
TEST_F(LimitsTest, WatchersWokenAtOnceLeaveOtherCallsAlone) {
  constexpr int kWatchers = 400;
  constexpr int kPerChannel = 80;
  constexpr int kEpochs = 5;
  v1::Job job;
  ASSERT_TRUE(Submit(Split("pets"), &job).ok());
  v1::WatchJobRequest request;
  request.set_id(job.id());

  // Reads until the last epoch.
  class Watcher : public grpc::ClientReadReactor<v1::JobEvent> {
   public:
    Watcher(absl::BlockingCounter* asleep, absl::BlockingCounter* done)
        : context(Context()), asleep_(asleep), done_(done) {}
    void OnReadDone(bool ok) override {
      if (!ok) {
        return;
      }
      if (event.sequence() == 2) {
        asleep_->DecrementCount();
      }
      seen = event.epoch().epoch();
      if (seen == kEpochs) {
        context->TryCancel();
      }
      StartRead(&event);
    }
    void OnDone(const grpc::Status&) override { done_->DecrementCount(); }

    std::unique_ptr<grpc::ClientContext> context;
    v1::JobEvent event;
    int seen = 0;

   private:
    absl::BlockingCounter* const asleep_;
    absl::BlockingCounter* const done_;
  };
  absl::BlockingCounter asleep(kWatchers);
  absl::BlockingCounter done(kWatchers);
  std::vector<std::unique_ptr<v1::JobService::Stub>> stubs;
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < kWatchers; ++i) {
    if (i % kPerChannel == 0) {
      stubs.push_back(v1::JobService::NewStub(NewChannel(server_->port())));
    }
    watchers.push_back(std::make_unique<Watcher>(&asleep, &done));
    Watcher& watcher = *watchers.back();
    stubs.back()->async()->WatchJob(watcher.context.get(), &request, &watcher);
    watcher.StartRead(&watcher.event);
    watcher.StartCall();
  }
  asleep.Wait();
  for (int epoch = 1; epoch <= kEpochs; ++epoch) {
    ReportEpoch(job.id(), epoch);
    EXPECT_TRUE(GetStatus().ok());
  }
  done.Wait();
  for (const auto& watcher : watchers) {
    EXPECT_EQ(watcher->seen, kEpochs);
  }
}

}  // namespace
}  // namespace graft
