// Streams of the whole server: whole, in order, and harmless when their callers go.
#include <atomic>
#include <thread>

#include "tests/testing/server_fixture.h"

namespace graft {
namespace {

using ::graft::testing::Context;

using StreamsTest = testing::ServerFixture;

TEST_F(StreamsTest, WatchReplaysThenFollowsAndResumesWithoutAGap) {
  v1::Job job;
  ASSERT_TRUE(Submit(Split("pets"), &job).ok());
  v1::WatchJobRequest request;
  request.set_id(job.id());
  auto context = Context();
  auto stream = jobs_->WatchJob(context.get(), request);
  v1::JobEvent event;
  for (int64_t sequence = 1; sequence <= 2; ++sequence) {
    ASSERT_TRUE(stream->Read(&event));
    EXPECT_EQ(event.sequence(), sequence);
  }
  for (int epoch = 1; epoch <= 100; ++epoch) {
    ReportEpoch(job.id(), epoch);
    ASSERT_TRUE(stream->Read(&event));
    EXPECT_EQ(event.sequence(), epoch + 2);
    EXPECT_EQ(event.epoch().epoch(), epoch);
  }
  context->TryCancel();
  EXPECT_EQ(Code(stream->Finish()), grpc::StatusCode::CANCELLED);

  // From the middle; and the stream ends after the terminal event.
  request.set_after_sequence(90);
  auto again = Context();
  stream = jobs_->WatchJob(again.get(), request);
  v1::Job cancelled;
  v1::CancelJobRequest cancel;
  cancel.set_id(job.id());
  ASSERT_TRUE(jobs_->CancelJob(Context().get(), cancel, &cancelled).ok());
  executor_->Exit(job.id(), 1, absl::OkStatus());
  int64_t expected = 91;
  while (stream->Read(&event)) {
    EXPECT_EQ(event.sequence(), expected++);
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(event.state().state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(expected, 105);

  request.set_after_sequence(1000);
  auto beyond = Context();
  stream = jobs_->WatchJob(beyond.get(), request);
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_EQ(Code(stream->Finish()), grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(StreamsTest, ManyWatchersThatComeAndGoSeeEverything) {
  v1::Job job;
  ASSERT_TRUE(Submit(Split("pets"), &job).ok());
  std::atomic<int> wrong{0};
  std::vector<std::thread> watchers;
  for (int w = 0; w < 8; ++w) {
    watchers.emplace_back([&, w] {
      int64_t seen = 0;
      bool ended = false;
      for (int turn = 0; !ended; ++turn) {
        auto context = Context();
        v1::WatchJobRequest request;
        request.set_id(job.id());
        request.set_after_sequence(seen);
        auto stream = jobs_->WatchJob(context.get(), request);
        v1::JobEvent event;
        int read = 0;
        while (stream->Read(&event)) {
          wrong += event.sequence() != seen + 1;
          seen = event.sequence();
          if (++read == 5 + w && turn < 6) {
            context->TryCancel();  // and comes back
          }
        }
        ended = stream->Finish().ok();
        if (!ended && context->debug_error_string().empty() && turn > 100) {
          ++wrong;
          break;
        }
      }
      wrong += seen != 203;
    });
  }
  for (int epoch = 1; epoch <= 200; ++epoch) {
    ReportEpoch(job.id(), epoch);
  }
  JobStateChange end;
  end.state = JobState::kFailed;
  end.error = absl::AbortedError("enough");
  Report(job.id(), 201, end);
  for (std::thread& watcher : watchers) {
    watcher.join();
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(StreamsTest, AStreamAnswersEachInOrderAndABadOneDoesNotEndIt) {
  AddModel(1);
  auto context = Context();
  auto stream = predictions_->ClassifyStream(context.get());
  constexpr int kCount = 200;
  std::thread writer([&] {
    for (int i = 0; i < kCount; ++i) {
      v1::ClassifyRequest request = ClassifyRequest("dog." + std::to_string(i % 20) + ".jpg");
      if (i % 10 == 3) {
        request.set_image("GIF89a");
      }
      stream->Write(request);
    }
    stream->WritesDone();
  });
  v1::ClassifyStreamResponse response;
  int count = 0;
  while (stream->Read(&response)) {
    EXPECT_EQ(response.index(), count);
    EXPECT_EQ(response.has_error(), count % 10 == 3) << count;
    ++count;
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(count, kCount);
}

TEST_F(StreamsTest, CallersThatLeaveEarlyHarmNobody) {
  AddModel(1);
  for (int i = 0; i < 30; ++i) {
    auto context = Context();
    auto stream = predictions_->ClassifyStream(context.get());
    for (int n = 0; n < i % 7; ++n) {
      stream->Write(ClassifyRequest("cat.1.jpg"));
    }
    context->TryCancel();
    EXPECT_EQ(Code(stream->Finish()), grpc::StatusCode::CANCELLED);
  }
  v1::ClassifyResponse response;
  EXPECT_TRUE(predictions_->Classify(Context().get(), ClassifyRequest("cat.0.jpg"), &response).ok());
}

// Each leaves at another moment: before, between or after its files. None of them may be taken for complete.
TEST_F(StreamsTest, UploadsWhoseCallersLeaveAreGone) {
  constexpr int kThreads = 4;
  constexpr int kEach = 50;
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int t = 0; t < kThreads; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        auto context = Context();
        v1::UploadImagesResponse response;
        auto stream = datasets_->UploadImages(context.get(), &response);
        v1::UploadImagesRequest request;
        for (int n = 0; n < (i + t) % 5; ++n) {
          request.set_path("file" + std::to_string(n));
          stream->Write(request);
          request.set_chunk(std::string(1000, 'x'));
          stream->Write(request);
        }
        context->TryCancel();
        wrong += Code(stream->Finish()) != grpc::StatusCode::CANCELLED;
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(GetStatus().ok());
  server_ = nullptr;  // every stream is over now
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "data/incoming"));
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "data/uploads"));
}

}  // namespace
}  // namespace graft
