// The four kinds of calls, over real gRPC, with handlers that are late, slow, or throw.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <set>
#include <stdexcept>
#include <thread>

#include "absl/synchronization/notification.h"
#include "core/base/mutex.h"
#include "graft/v1/datasets.grpc.pb.h"
#include "graft/v1/jobs.grpc.pb.h"
#include "graft/v1/prediction.grpc.pb.h"
#include "gtest/gtest.h"
#include "server/rpc/ordered_stream.h"
#include "server/rpc/pull_stream.h"
#include "server/rpc/push_stream.h"
#include "server/rpc/unary.h"
#include "tests/testing/server_fixture.h"

namespace graft {
namespace {

using ::graft::testing::Context;

constexpr int64_t kBudget = 1 << 20;

// What a test tells the services to do.
class Script {
 public:
  struct Late {
    v1::ClassifyStreamResponse answer;
    std::shared_ptr<const v1::ClassifyRequest> request;
    OrderedStream<v1::ClassifyRequest, v1::ClassifyStreamResponse>::Done done;
  };

  void Push(Late late) {
    const MutexLock lock(&mutex_);
    late_.push_back(std::move(late));
    ++received_;
    changed_.SignalAll();
  }
  // The oldest, once there is one; nothing when the test is over.
  std::optional<Late> Pop() {
    const MutexLock lock(&mutex_);
    while (late_.empty() && !over_) {
      changed_.Wait(&mutex_);
    }
    if (late_.empty()) {
      return std::nullopt;
    }
    Late late = std::move(late_.front());
    late_.pop_front();
    return late;
  }
  void Over() {
    const MutexLock lock(&mutex_);
    over_ = true;
    changed_.SignalAll();
  }
  void AwaitReceived(int count) {
    const MutexLock lock(&mutex_);
    while (received_ < count) {
      changed_.Wait(&mutex_);
    }
  }
  int received() {
    const MutexLock lock(&mutex_);
    return received_;
  }
  // On whose thread sources and sinks were destroyed.
  void Destroyed() {
    const MutexLock lock(&mutex_);
    destroyers_.insert(std::this_thread::get_id());
    ++destroyed_;
    changed_.SignalAll();
  }
  std::set<std::thread::id> AwaitDestroyed(int count) {
    const MutexLock lock(&mutex_);
    while (destroyed_ < count) {
      changed_.Wait(&mutex_);
    }
    return destroyers_;
  }

  absl::Notification gate;  // sources named "gate" wait here

 private:
  Mutex mutex_;
  CondVar changed_;
  std::deque<Late> late_ ABSL_GUARDED_BY(mutex_);
  int received_ ABSL_GUARDED_BY(mutex_) = 0;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  int destroyed_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<std::thread::id> destroyers_ ABSL_GUARDED_BY(mutex_);
};

class ScriptedSource : public StreamSource<v1::JobEvent> {
 public:
  ScriptedSource(Script* script, std::string id) : script_(script), id_(std::move(id)) {}
  ~ScriptedSource() override { script_->Destroyed(); }
  absl::StatusOr<State> Next(const std::function<void()>&, v1::JobEvent* out) override {
    if (id_ == "throw") {
      throw std::runtime_error("on purpose");
    }
    if (id_ == "gate") {
      script_->gate.WaitForNotification();
      return State::kEnd;
    }
    if (first_) {
      first_ = false;
      out->set_sequence(1);
      return State::kItem;
    }
    return State::kWait;
  }

 private:
  Script* const script_;
  const std::string id_;
  bool first_ = true;
};

class ScriptedSink : public StreamSink<v1::UploadImagesRequest, v1::UploadImagesResponse> {
 public:
  explicit ScriptedSink(Script* script) : script_(script) {}
  ~ScriptedSink() override { script_->Destroyed(); }
  absl::Status Add(const v1::UploadImagesRequest& request) override {
    if (request.path() == "throw") {
      throw std::runtime_error("on purpose");
    }
    script_->Push({});
    return absl::OkStatus();
  }
  absl::Status Close(v1::UploadImagesResponse* response) override {
    response->set_files(1);
    return absl::OkStatus();
  }

 private:
  Script* const script_;
};

class Jobs : public v1::JobService::CallbackService {
 public:
  Jobs(Script* script, RpcRuntime* runtime) : script_(script), runtime_(runtime) {}
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context, const v1::GetJobRequest* request,
                                   v1::Job* response) override {
    return RunUnary(
        *runtime_, context, "GetJob", *request, [this, request, response](const Call& call) -> absl::Status {
          if (request->id() == "throw") {
            throw std::runtime_error("on purpose");
          }
          if (request->id() == "keep") {
            call.keep(std::shared_ptr<const void>(this, [script = script_](const void*) { script->Destroyed(); }));
          }
          response->set_id(request->id());
          return absl::OkStatus();
        });
  }
  grpc::ServerWriteReactor<v1::JobEvent>* WatchJob(grpc::CallbackServerContext* context,
                                                   const v1::WatchJobRequest* request) override {
    return PullStream<v1::JobEvent>::Start(
        *runtime_, context, "WatchJob", OpenCalls::Kind::kWatch, *request,
        [this, request](const Call&) { return std::make_unique<ScriptedSource>(script_, request->id()); });
  }

 private:
  Script* const script_;
  RpcRuntime* const runtime_;
};

class Datasets : public v1::DatasetService::CallbackService {
 public:
  Datasets(Script* script, RpcRuntime* runtime) : script_(script), runtime_(runtime) {}
  grpc::ServerReadReactor<v1::UploadImagesRequest>* UploadImages(grpc::CallbackServerContext* context,
                                                                 v1::UploadImagesResponse* response) override {
    return PushStream<v1::UploadImagesRequest, v1::UploadImagesResponse>::Start(
        *runtime_, context, "UploadImages", OpenCalls::Kind::kBulk, response,
        [this](const Call&) { return std::make_unique<ScriptedSink>(script_); });
  }

 private:
  Script* const script_;
  RpcRuntime* const runtime_;
};

// Answers when the test's own thread says so.
class Predictions : public v1::PredictionService::CallbackService {
 public:
  Predictions(Script* script, RpcRuntime* runtime) : script_(script), runtime_(runtime) {}
  grpc::ServerBidiReactor<v1::ClassifyRequest, v1::ClassifyStreamResponse>* ClassifyStream(
      grpc::CallbackServerContext* context) override {
    return OrderedStream<v1::ClassifyRequest, v1::ClassifyStreamResponse>::Start(
        *runtime_, context, "ClassifyStream", OpenCalls::Kind::kBulk,
        [this](const Call&, int64_t index, std::shared_ptr<const v1::ClassifyRequest> request, const auto& done) {
          if (request->image() == "throw") {
            throw std::runtime_error("on purpose");
          }
          v1::ClassifyStreamResponse answer;
          answer.set_index(index);
          script_->Push({std::move(answer), std::move(request), done});
        });
  }

 private:
  Script* const script_;
  RpcRuntime* const runtime_;
};

class RpcStreamsTest : public ::testing::Test {
 protected:
  RpcStreamsTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&job_service_);
    builder.RegisterService(&dataset_service_);
    builder.RegisterService(&prediction_service_);
    builder.SetMaxReceiveMessageSize(64 << 20);
    server_ = builder.BuildAndStart();
    const auto channel = testing::NewChannel(port);
    jobs_ = v1::JobService::NewStub(channel);
    datasets_ = v1::DatasetService::NewStub(channel);
    predictions_ = v1::PredictionService::NewStub(channel);
  }
  ~RpcStreamsTest() override {
    StopAnswering();
    server_->Shutdown();
    server_->Wait();
  }

  // From another thread, as the batcher does, until all have come.
  void StartAnswering() {
    answering_ = std::thread([this] {
      while (std::optional<Script::Late> late = script_.Pop()) {
        if (late->done == nullptr) {
          continue;  // a file of an upload
        }
        late->request.reset();
        late->done(std::move(late->answer));
        late->done(absl::InternalError("the first answer counts"));
      }
    });
  }
  void StopAnswering() {
    script_.Over();
    if (answering_.joinable()) {
      answering_.join();
    }
  }
  grpc::Status GetJob(const std::string& id) {
    v1::GetJobRequest request;
    request.set_id(id);
    v1::Job job;
    return jobs_->GetJob(Context().get(), request, &job);
  }

  Script script_;
  OpenCalls open_{{}};
  ByteBudget bytes_{kBudget};
  ThreadPool calls_{1, /*max_queued=*/8};
  ThreadPool streams_{1};
  RpcRuntime runtime_{&calls_, &streams_, &open_, &bytes_};
  Jobs job_service_{&script_, &runtime_};
  Datasets dataset_service_{&script_, &runtime_};
  Predictions prediction_service_{&script_, &runtime_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::DatasetService::Stub> datasets_;
  std::unique_ptr<v1::PredictionService::Stub> predictions_;
  std::thread answering_;
};

// Thousands of streams whose callers go at any moment, while answers to them come from another thread.
TEST_F(RpcStreamsTest, WhatIsKeptForAnAnswerGoesWithTheCall) {
  EXPECT_TRUE(GetJob("keep").ok());
  script_.AwaitDestroyed(1);
}

TEST_F(RpcStreamsTest, AStormOfCancelsWithLateAnswers) {
  constexpr int kThreads = 4;
  constexpr int kEach = 1000;
  StartAnswering();
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < kThreads; ++t) {
    callers.emplace_back([&, t] {
      v1::ClassifyRequest request;
      request.set_image(std::string(100, 'x'));
      for (int i = 0; i < kEach; ++i) {
        const auto context = Context();
        auto stream = predictions_->ClassifyStream(context.get());
        const int writes = (i + t) % 5;
        for (int n = 0; n < writes; ++n) {
          stream->Write(request);
        }
        v1::ClassifyStreamResponse response;
        for (int n = 0; n < writes / 2; ++n) {
          stream->Read(&response);
        }
        if (i % 7 == 0) {
          stream->WritesDone();
          while (stream->Read(&response)) {
          }
          wrong += !stream->Finish().ok();
          continue;
        }
        context->TryCancel();
        wrong += stream->Finish().error_code() != grpc::StatusCode::CANCELLED;
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(GetJob("1").ok());
  EXPECT_TRUE(open_.AwaitNone(absl::Seconds(60)));
  StopAnswering();
  EXPECT_EQ(bytes_.used(), 0);
}

TEST_F(RpcStreamsTest, AnAnswerThatComesAfterTheStreamFindsNobody) {
  v1::ClassifyRequest request;
  request.set_image("x");
  for (int i = 1; i <= 50; ++i) {
    const auto context = Context();
    auto stream = predictions_->ClassifyStream(context.get());
    ASSERT_TRUE(stream->Write(request));
    script_.AwaitReceived(i);
    context->TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(open_.AwaitNone(absl::Seconds(60)));  // without a single answer
  StartAnswering();
  StopAnswering();
  EXPECT_EQ(bytes_.used(), 0);
}

TEST_F(RpcStreamsTest, WhatAHandlerThrowsEndsItsCallOnly) {
  StartAnswering();
  EXPECT_EQ(GetJob("throw").error_code(), grpc::StatusCode::INTERNAL);
  {
    const auto context = Context();
    v1::WatchJobRequest request;
    request.set_id("throw");
    EXPECT_EQ(jobs_->WatchJob(context.get(), request)->Finish().error_code(), grpc::StatusCode::INTERNAL);
  }
  {
    const auto context = Context();
    v1::UploadImagesResponse response;
    auto stream = datasets_->UploadImages(context.get(), &response);
    v1::UploadImagesRequest request;
    request.set_path("throw");
    stream->Write(request);
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INTERNAL);
  }
  {
    const auto context = Context();
    auto stream = predictions_->ClassifyStream(context.get());
    v1::ClassifyRequest request;
    request.set_image("throw");
    stream->Write(request);
    v1::ClassifyStreamResponse response;
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INTERNAL);
  }
  EXPECT_TRUE(GetJob("1").ok());
}

TEST_F(RpcStreamsTest, SourcesAndSinksAreDestroyedOnThePool) {
  constexpr int kTurns = 50;
  std::thread::id pool;
  absl::Notification known;
  streams_.Post([&] {
    pool = std::this_thread::get_id();
    known.Notify();
  });
  known.WaitForNotification();
  for (int i = 0; i < kTurns; ++i) {
    const auto watch = Context();
    auto events = jobs_->WatchJob(watch.get(), {});
    v1::JobEvent event;
    EXPECT_TRUE(events->Read(&event));
    watch->TryCancel();
    events->Finish();
    const auto upload = Context();
    v1::UploadImagesResponse response;
    auto files = datasets_->UploadImages(upload.get(), &response);
    v1::UploadImagesRequest request;
    request.set_path("x");
    files->Write(request);
    script_.AwaitReceived(i + 1);
    upload->TryCancel();
    files->Finish();
  }
  EXPECT_EQ(script_.AwaitDestroyed(2 * kTurns), std::set<std::thread::id>{pool});
}

// All of the streams' threads are busy, and far more of them wait than unary calls may.
TEST_F(RpcStreamsTest, StreamsThatWaitForAThreadLeaveUnaryCallsAlone) {
  constexpr int kWatches = 50;
  v1::WatchJobRequest request;
  request.set_id("gate");
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::JobEvent>>> watches;
  for (int i = 0; i < kWatches; ++i) {
    contexts.push_back(Context());
    watches.push_back(jobs_->WatchJob(contexts.back().get(), request));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(GetJob("1").ok());
  }
  script_.gate.Notify();
  for (const auto& watch : watches) {
    EXPECT_TRUE(watch->Finish().ok());
  }
}

TEST_F(RpcStreamsTest, AStreamReadsOnWhenTheBudgetHasRoom) {
  constexpr int kMessages = 40;
  constexpr int64_t kMessage = 300'000;
  const auto context = Context();
  auto stream = predictions_->ClassifyStream(context.get());
  std::thread writer([&] {
    v1::ClassifyRequest request;
    request.set_image(std::string(kMessage, 'x'));
    for (int i = 0; i < kMessages; ++i) {
      EXPECT_TRUE(stream->Write(request));
    }
    stream->WritesDone();
  });
  script_.AwaitReceived(kBudget / kMessage + 1);
  // Others are refused while nothing fits.
  v1::ClassifyRequest large;
  EXPECT_EQ(GetJob("1").error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  StartAnswering();
  v1::ClassifyStreamResponse response;
  int count = 0;
  while (stream->Read(&response)) {
    EXPECT_EQ(response.index(), count++);
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(count, kMessages);
  EXPECT_LE(bytes_.peak(), kBudget + kMessage + 1000);
  EXPECT_TRUE(GetJob("1").ok());
}

TEST_F(RpcStreamsTest, AUploadIsReadOnlyWhenTheBudgetHasRoom) {
  std::optional<ByteBudget::Reservation> full = bytes_.TryTake(kBudget);
  const auto context = Context();
  v1::UploadImagesResponse response;
  auto stream = datasets_->UploadImages(context.get(), &response);
  v1::UploadImagesRequest request;
  request.set_path("x");
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  EXPECT_EQ(GetJob("1").error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(script_.received(), 0);
  full.reset();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(script_.received(), 1);
}

// A message is there, the next is awaited, and the server goes.
TEST_F(RpcStreamsTest, StreamsThatAreAbortedEndAsUnavailable) {
  const auto upload = Context();
  v1::UploadImagesResponse response;
  auto files = datasets_->UploadImages(upload.get(), &response);
  v1::UploadImagesRequest path;
  path.set_path("x");
  ASSERT_TRUE(files->Write(path));
  const auto classify = Context();
  auto images = predictions_->ClassifyStream(classify.get());
  v1::ClassifyRequest image;
  image.set_image("x");
  ASSERT_TRUE(images->Write(image));
  const auto watch = Context();
  auto events = jobs_->WatchJob(watch.get(), {});
  v1::JobEvent event;
  ASSERT_TRUE(events->Read(&event));
  script_.AwaitReceived(2);

  open_.Close();
  EXPECT_EQ(files->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(events->Read(&event));
  EXPECT_EQ(events->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(GetJob("1").error_code(), grpc::StatusCode::UNAVAILABLE);
  // What the server has is answered.
  StartAnswering();
  v1::ClassifyStreamResponse answer;
  EXPECT_TRUE(images->Read(&answer));
  EXPECT_FALSE(images->Read(&answer));
  EXPECT_EQ(images->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(open_.AwaitNone(absl::Seconds(60)));
}

TEST_F(RpcStreamsTest, ALongStringEndsAStream) {
  const auto context = Context();
  auto stream = predictions_->ClassifyStream(context.get());
  v1::ClassifyRequest request;
  request.mutable_model()->set_name(std::string(5000, 'x'));
  stream->Write(request);
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "model.name: has 5000 bytes; at most 4096 are taken");
  EXPECT_EQ(script_.received(), 0);
}

}  // namespace
}  // namespace graft
