// What callers see while the server goes: an answer, or UNAVAILABLE and when to come back.
#include <atomic>
#include <thread>

#include "tests/testing/server_fixture.h"

namespace graft {
namespace {

using ::graft::testing::Context;
using ::graft::testing::NewChannel;
using ::testing::HasSubstr;

using ShutdownTest = testing::ServerFixture;

TEST_F(ShutdownTest, ShutdownEndsWatchersWithAWayBackAndTheJobComesBackToo) {
  v1::Job job;
  ASSERT_TRUE(Submit(Split("pets"), &job).ok());
  auto context = Context();
  v1::WatchJobRequest request;
  request.set_id(job.id());
  auto stream = jobs_->WatchJob(context.get(), request);
  v1::JobEvent event;
  ASSERT_TRUE(stream->Read(&event));
  ASSERT_TRUE(stream->Read(&event));
  std::thread shutdown([this] { server_->Shutdown(absl::Seconds(30)); });
  while (stream->Read(&event)) {
  }
  const grpc::Status status = stream->Finish();
  shutdown.join();
  EXPECT_EQ(Code(status), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("after_sequence"));
  server_.reset();
  StartServer();
  // It runs again.
  request.set_after_sequence(event.sequence());
  context = Context();
  stream = jobs_->WatchJob(context.get(), request);
  do {
    ASSERT_TRUE(stream->Read(&event));
  } while (event.state().state() != v1::JOB_STATE_RUNNING);
  EXPECT_EQ(event.attempt(), 2);
  context->TryCancel();
  stream->Finish();
}

TEST_F(ShutdownTest, AnUploadIsToldUnavailableAndLeavesNothing) {
  const auto context = Context();
  v1::UploadImagesResponse response;
  auto stream = datasets_->UploadImages(context.get(), &response);
  v1::UploadImagesRequest request;
  request.set_path("cat.jpg");
  ASSERT_TRUE(stream->Write(request));
  // The server has it once the file is there.
  while (std::filesystem::is_empty(dir_ / "data/incoming")) {
    std::this_thread::yield();
  }
  server_->Shutdown(absl::Seconds(30));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(Code(status), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("shutting down"));
  server_ = nullptr;
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "data/incoming"));
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "data/uploads"));
}

TEST_F(ShutdownTest, AStreamOfImagesIsAnsweredAndThenToldUnavailable) {
  AddModel(1);
  const auto context = Context();
  auto stream = predictions_->ClassifyStream(context.get());
  ASSERT_TRUE(stream->Write(ClassifyRequest("cat.0.jpg")));
  v1::ClassifyStreamResponse answer;
  ASSERT_TRUE(stream->Read(&answer));
  engine_->CloseGate();
  AddModel(2);
  ASSERT_TRUE(stream->Write(ClassifyRequest("cat.0.jpg")));
  engine_->AwaitLoads(2);
  std::thread shutdown([this] { server_->Shutdown(absl::Seconds(30)); });
  // Calls of others are refused from the moment on that it has begun.
  while (GetStatus().ok()) {
  }
  engine_->OpenGate();
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.index(), 1);
  EXPECT_EQ(answer.response().version(), 2);
  EXPECT_FALSE(stream->Read(&answer));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(Code(status), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("shutting down"));
  shutdown.join();
}

// Nothing is left to drain for: who waits for a model that doesn't come is told so.
TEST_F(ShutdownTest, WhoWaitsForAModelIsToldUnavailable) {
  AddModel(1);
  engine_->CloseGate();
  grpc::Status status;
  std::thread caller([&] {
    v1::ClassifyResponse response;
    status = predictions_->Classify(Context().get(), ClassifyRequest("cat.0.jpg"), &response);
  });
  engine_->AwaitLoads(1);
  std::thread shutdown([this] { server_->Shutdown(absl::ZeroDuration()); });
  caller.join();
  EXPECT_EQ(Code(status), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  engine_->OpenGate();
  shutdown.join();
}

TEST_F(ShutdownTest, NobodySeesCancelled) {
  constexpr int kTurns = 10;
  constexpr int kCallers = 8;
  for (int turn = 0; turn < kTurns; ++turn) {
    std::atomic<int> calls{0};
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int c = 0; c < kCallers; ++c) {
      callers.emplace_back([&, stub = v1::ServerService::NewStub(NewChannel(server_->port()))] {
        for (;;) {
          v1::ServerStatus response;
          const grpc::Status status = stub->GetStatus(Context().get(), {}, &response);
          ++calls;
          if (!status.ok() && status.error_message().find("shutting down") == std::string::npos) {
            // Goes on while it is only refused, so that calls come until the last moment.
            wrong += Code(status) != grpc::StatusCode::UNAVAILABLE;
            return;
          }
        }
      });
    }
    while (calls < 20 * kCallers) {
      std::this_thread::yield();
    }
    server_->Shutdown(absl::Seconds(30));
    for (std::thread& caller : callers) {
      caller.join();
    }
    EXPECT_EQ(wrong, 0) << turn;
    StartServer();
  }
}

}  // namespace
}  // namespace graft
