// Server streams.
#ifndef GRAFT_SERVER_RPC_PULL_STREAM_H_
#define GRAFT_SERVER_RPC_PULL_STREAM_H_

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/base/status.h"
#include "google/protobuf/message.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/running_call.h"
#include "server/rpc/stream.h"

namespace graft {

// Pulls one message at a time from its source and has one write in flight, so a slow reader costs nothing, and a stream
// that waits neither a thread nor a place in a queue.
//
// Whoever has the turn pulls, writes, or ends the stream; nobody else calls gRPC. The turn goes from the pool to gRPC
// with a write and comes back by OnWriteDone, both under the lock: so what one thread left in the source is there for
// the next one, whatever gRPC does in between.
//
// gRPC has a share of the object until OnDone, and each piece of posted work has one. What wakes it later has none, and
// may come too late.
template <typename Response>
class PullStream final : public grpc::ServerWriteReactor<Response>,
                         public std::enable_shared_from_this<PullStream<Response>> {
 public:
  using MakeSource = std::function<std::unique_ptr<StreamSource<Response>>(const Call& call)>;

  // `request` is gRPC's and looked at before this returns. Errors as those of RunUnary.
  static grpc::ServerWriteReactor<Response>* Start(const RpcRuntime& runtime, grpc::CallbackServerContext* context,
                                                   std::string method, OpenCalls::Kind kind,
                                                   const google::protobuf::Message& request,
                                                   const MakeSource& make_source) {
    const std::shared_ptr<PullStream> stream(new PullStream(runtime, *context, std::move(method)));
    stream->self_ = stream;
    stream->React([&]() -> absl::Status {
      GRAFT_RETURN_IF_ERROR(stream->running_.Enter(runtime.open, kind, [weak = stream->weak_from_this()] {
        if (const auto alive = weak.lock()) {
          alive->Wake(&PullStream::aborted_);
        }
      }));
      GRAFT_RETURN_IF_ERROR(CheckStrings(request, runtime.max_string_bytes));
      stream->source_ = make_source(stream->running_.call());
      stream->Pull();
      return absl::OkStatus();
    });
    return stream.get();
  }

  void OnWriteDone(bool ok) override {
    {
      const MutexLock lock(&mutex_);
      turn_ = Turn::kPool;
      cancelled_ = cancelled_ || !ok;
    }
    React([&] {
      Pull();
      return absl::OkStatus();
    });
  }

  void OnCancel() override {
    running_.Cancel();
    Wake(&PullStream::cancelled_);
  }

  void OnDone() override {
    // Sources unsubscribe and close files: not on this thread.
    runtime_.streams->Post([self = std::move(self_)] {
      self->source_ = nullptr;
      self->running_.Leave();
    });
  }

 private:
  enum class Turn { kNobody, kPool, kGrpc };

  PullStream(const RpcRuntime& runtime, const grpc::CallbackServerContext& context, std::string method)
      : runtime_(runtime), running_(std::move(method), context) {}

  // Does what the one who has the turn does; an error, or an exception, ends the stream.
  template <typename Fn>
  void React(Fn&& fn) {
    if (const absl::Status status = CatchExceptions("internal error", std::forward<Fn>(fn)); !status.ok()) {
      End(status);
    }
  }

  void Wake(bool PullStream::*reason) {
    {
      const MutexLock lock(&mutex_);
      this->*reason = true;
      if (turn_ != Turn::kNobody) {
        return;  // whoever has it sees it
      }
      turn_ = Turn::kPool;
    }
    React([&] {
      Pull();
      return absl::OkStatus();
    });
  }

  void Pull() {
    runtime_.streams->Post([self = this->shared_from_this()] { self->React([&] { return self->RunNext(); }); });
  }

  absl::Status RunNext() {
    bool aborted = false;
    {
      const MutexLock lock(&mutex_);
      if (cancelled_) {
        return absl::CancelledError("the caller has gone");
      }
      aborted = aborted_;
      woken_ = false;
    }
    if (aborted) {
      return source_->Aborted();
    }
    const std::function<void()> wake = [weak = this->weak_from_this()] {
      if (const auto alive = weak.lock()) {
        alive->Wake(&PullStream::woken_);
      }
    };
    using State = typename StreamSource<Response>::State;
    message_.Clear();
    GRAFT_ASSIGN_OR_RETURN(const State state, source_->Next(wake, &message_));
    if (state == State::kItem) {
      {
        const MutexLock lock(&mutex_);
        turn_ = Turn::kGrpc;
      }
      this->StartWrite(&message_);
    } else if (state == State::kEnd) {
      End(absl::OkStatus());
    } else {
      {
        const MutexLock lock(&mutex_);
        if (!woken_ && !cancelled_ && !aborted_) {
          turn_ = Turn::kNobody;
          return absl::OkStatus();
        }
      }
      Pull();
    }
    return absl::OkStatus();
  }

  // Keeps the turn for good.
  void End(const absl::Status& status) {
    running_.End(status);
    this->Finish(ToGrpc(status));
  }

  const RpcRuntime runtime_;
  RunningCall running_;
  std::shared_ptr<PullStream> self_;                // gRPC's share
  std::unique_ptr<StreamSource<Response>> source_;  // whose turn it is
  Response message_;                                // likewise

  Mutex mutex_;
  Turn turn_ ABSL_GUARDED_BY(mutex_) = Turn::kPool;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_PULL_STREAM_H_
