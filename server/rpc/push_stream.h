// Client streams.
#ifndef GRAFT_SERVER_RPC_PUSH_STREAM_H_
#define GRAFT_SERVER_RPC_PUSH_STREAM_H_

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "core/base/status.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/running_call.h"
#include "server/rpc/stream.h"

namespace graft {

// Reads one message at a time and hands it to its sink, on the pool; reads on when the byte budget has room.
//
// The stream ends when the sink says so, or at once when the server shuts down while it waits for the client: the read
// is left unanswered then, which gRPC allows. For that, busy_ counts who is between being told of a message and having
// asked for the next.
//
// gRPC has a share of the object until OnDone, and each piece of posted work has one.
template <typename Request, typename Response>
class PushStream final : public grpc::ServerReadReactor<Request>,
                         public std::enable_shared_from_this<PushStream<Request, Response>> {
 public:
  using MakeSink = std::function<std::unique_ptr<StreamSink<Request, Response>>(const Call& call)>;

  // Errors as those of RunUnary. `response` is gRPC's and lives until OnDone.
  static grpc::ServerReadReactor<Request>* Start(const RpcRuntime& runtime, grpc::CallbackServerContext* context,
                                                 std::string method, OpenCalls::Kind kind, Response* response,
                                                 const MakeSink& make_sink) {
    const std::shared_ptr<PushStream> stream(new PushStream(runtime, context, std::move(method), response));
    stream->self_ = stream;
    stream->React([&]() -> absl::Status {
      GRAFT_RETURN_IF_ERROR(stream->running_.Enter(runtime.open, kind, [weak = stream->weak_from_this()] {
        if (const auto alive = weak.lock()) {
          alive->Abort();
        }
      }));
      stream->sink_ = make_sink(stream->running_.call());
      stream->ReadNext();
      return absl::OkStatus();
    });
    return stream.get();
  }

  void OnReadDone(bool ok) override {
    {
      const MutexLock lock(&mutex_);
      ++busy_;
    }
    if (!ok && context_->IsCancelled()) {
      running_.Cancel();  // not the end of what the client wanted to send; OnCancel may come later
    }
    React([&] {
      runtime_.streams->Post([self = this->shared_from_this(), ok] { self->React([&] { return self->Consume(ok); }); });
      return absl::OkStatus();
    });
  }

  void OnCancel() override { running_.Cancel(); }

  void OnDone() override {
    // Sinks remove files: not on this thread.
    runtime_.streams->Post([self = std::move(self_)] {
      self->sink_ = nullptr;
      self->running_.Leave();
    });
  }

 private:
  PushStream(const RpcRuntime& runtime, grpc::CallbackServerContext* context, std::string method, Response* response)
      : runtime_(runtime), context_(context), running_(std::move(method), *context), response_(response) {}

  template <typename Fn>
  void React(Fn&& fn) {
    if (const absl::Status status = CatchExceptions("internal error", std::forward<Fn>(fn)); !status.ok()) {
      End(status);
    }
  }

  absl::Status Consume(bool ok) {
    {
      const MutexLock lock(&mutex_);
      if (ended_) {
        return absl::OkStatus();
      }
      if (aborted_) {
        return ShuttingDown();
      }
    }
    GRAFT_RETURN_IF_ERROR(running_.Wanted());
    if (!ok) {
      GRAFT_RETURN_IF_ERROR(sink_->Close(response_));
      End(absl::OkStatus());
      return absl::OkStatus();
    }
    {
      const ByteBudget::Reservation bytes = runtime_.bytes->Take(static_cast<int64_t>(request_.ByteSizeLong()));
      GRAFT_RETURN_IF_ERROR(CheckStrings(request_, runtime_.max_string_bytes));
      GRAFT_RETURN_IF_ERROR(sink_->Add(request_));
      request_.Clear();
    }
    ReadNext();
    return absl::OkStatus();
  }

  void ReadNext() {
    runtime_.bytes->WhenRoom([self = this->shared_from_this()] {
      self->StartRead(&self->request_);
      bool abort = false;
      {
        const MutexLock lock(&self->mutex_);
        abort = --self->busy_ == 0 && self->aborted_;
      }
      if (abort) {
        self->End(ShuttingDown());
      }
    });
  }

  void Abort() {
    {
      const MutexLock lock(&mutex_);
      aborted_ = true;
      if (busy_ > 0) {
        return;  // whoever is, sees it
      }
    }
    End(ShuttingDown());
  }

  void End(const absl::Status& status) {
    {
      const MutexLock lock(&mutex_);
      if (ended_) {
        return;
      }
      ended_ = true;
    }
    running_.End(status);
    this->Finish(ToGrpc(status));
  }

  const RpcRuntime runtime_;
  grpc::CallbackServerContext* const context_;  // until OnDone
  RunningCall running_;
  Response* const response_;
  std::shared_ptr<PushStream> self_;                     // gRPC's share
  std::unique_ptr<StreamSink<Request, Response>> sink_;  // who is busy
  Request request_;                                      // likewise

  Mutex mutex_;
  int busy_ ABSL_GUARDED_BY(mutex_) = 1;  // Start
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_PUSH_STREAM_H_
