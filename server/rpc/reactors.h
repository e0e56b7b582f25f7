// The one way in which every RPC runs: logged, timed, off gRPC's own threads, exceptions caught, finished exactly once.
//
// gRPC's callback threads are few (two on two cores) and none of them may wait: a reaction only posts to the pool.
#ifndef GRAFT_SERVER_RPC_REACTORS_H_
#define GRAFT_SERVER_RPC_REACTORS_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/status.h"
#include "server/log.h"
#include "server/rpc/thread_pool.h"

namespace graft {

// absl's codes are gRPC's. A message longer than trailers bear is cut.
inline grpc::Status ToGrpc(const absl::Status& status) {
  constexpr size_t kMaxMessage = 4000;
  if (status.ok()) {
    return grpc::Status::OK;
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message().substr(0, kMaxMessage)));
}

// Says what became of a call, once, when it ends.
class CallLog {
 public:
  CallLog(std::string method, const grpc::CallbackServerContext& context)
      : method_(std::move(method)), peer_(context.peer()), start_(absl::Now()) {}

  void End(const absl::Status& status) const {
    const bool ours = absl::IsInternal(status) || absl::IsUnknown(status) || absl::IsDataLoss(status);
    Log(ours ? LogLevel::kError : LogLevel::kInfo, "rpc",
        {{"method", method_},
         {"code", absl::StatusCodeToString(status.code())},
         {"ms", absl::StrFormat("%.1f", absl::ToDoubleMilliseconds(absl::Now() - start_))},
         {"peer", peer_},
         {"message", std::string(status.message())}});
  }

 private:
  const std::string method_;
  const std::string peer_;
  const absl::Time start_;
};

// Streams that are open, so that a shutdown can end them.
class OpenStreams {
 public:
  class Stream {
   public:
    virtual ~Stream() = default;
    // The server is shutting down.
    virtual void Abort() = 0;
  };

  void Add(Stream* stream) {
    const std::lock_guard lock(mutex_);
    streams_.insert(stream);
  }
  void Remove(Stream* stream) {
    const std::lock_guard lock(mutex_);
    streams_.erase(stream);
  }
  void AbortAll() {
    const std::lock_guard lock(mutex_);
    for (Stream* stream : streams_) {
      stream->Abort();
    }
  }

 private:
  std::mutex mutex_;
  std::set<Stream*> streams_;  // guarded by mutex_
};

struct RpcRuntime {
  ThreadPool* pool;
  OpenStreams* streams;
};

inline absl::Status Busy() {
  return absl::ResourceExhaustedError("the server is busy: too many calls are waiting; try again in a second");
}

// A unary call whose handler answers later, through `done`, from any thread.
template <typename Handler>
grpc::ServerUnaryReactor* RunUnaryAsync(const RpcRuntime& runtime, grpc::CallbackServerContext* context,
                                        std::string method, Handler handler) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  auto log = std::make_shared<CallLog>(std::move(method), *context);
  auto answered = std::make_shared<std::atomic_flag>();
  const std::function<void(absl::Status)> done = [reactor, log, answered](const absl::Status& status) {
    if (answered->test_and_set()) {
      return;  // a handler that throws after its answer; Finish twice would end the process
    }
    log->End(status);
    reactor->Finish(ToGrpc(status));
  };
  if (!runtime.pool->TryPost([context, done, handler = std::move(handler)] {
        if (context->IsCancelled()) {
          done(absl::CancelledError("the caller has gone"));
          return;
        }
        const absl::Status thrown = CatchExceptions("internal error", [&] {
          handler(done);
          return absl::OkStatus();
        });
        if (!thrown.ok()) {
          done(thrown);
        }
      })) {
    done(Busy());
  }
  return reactor;
}

// A unary call: handler() -> absl::Status, on the pool.
template <typename Handler>
grpc::ServerUnaryReactor* RunUnary(const RpcRuntime& runtime, grpc::CallbackServerContext* context, std::string method,
                                   Handler handler) {
  return RunUnaryAsync(runtime, context, std::move(method), [handler = std::move(handler)](const auto& done) {
    done(CatchExceptions("internal error", handler));
  });
}

// Where a server stream's messages come from.
template <typename Response>
class StreamSource {
 public:
  enum class State {
    kItem,  // *out is the next message
    kWait,  // nothing now: the stream sleeps until it is woken
    kEnd,
  };
  virtual ~StreamSource() = default;
  // On the pool, one call at a time. `wake` may be kept and called from anywhere, at any time.
  virtual absl::StatusOr<State> Next(const std::function<void()>& wake, Response* out) = 0;
  // What a client is told when the server shuts down.
  virtual absl::Status Aborted() const { return absl::UnavailableError("the server is shutting down; try again"); }
};

// A server stream: pulls one message at a time from its source and has one write in flight, so a slow reader costs
// nothing.
template <typename Response>
class PullStream : public grpc::ServerWriteReactor<Response>, public OpenStreams::Stream {
 public:
  PullStream(const RpcRuntime& runtime, grpc::CallbackServerContext* context, std::string method,
             std::unique_ptr<StreamSource<Response>> source)
      : runtime_(runtime),
        log_(std::move(method), *context),
        handle_(std::make_shared<Handle>()),
        source_(std::move(source)) {
    handle_->stream = this;
    runtime_.streams->Add(this);
    Pull();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      End(absl::CancelledError("the caller has gone"));
      return;
    }
    Pull();
  }

  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    WakeLocked();
  }

  void OnDone() override {
    {
      const std::lock_guard lock(handle_->mutex);
      handle_->stream = nullptr;  // a late wake finds nobody
    }
    runtime_.streams->Remove(this);
    delete this;
  }

  void Abort() override {
    const std::lock_guard lock(mutex_);
    aborted_ = true;
    WakeLocked();
  }

 private:
  struct Handle {
    std::mutex mutex;
    PullStream* stream = nullptr;  // guarded by mutex
  };

  // Whoever has the turn (busy_) pulls, writes, or ends the stream; nobody else touches it.
  void WakeLocked() {
    if (busy_) {
      woken_ = true;
    } else if (!ended_) {
      busy_ = true;
      Pull();
    }
  }

  void Pull() {
    runtime_.pool->Post([this] { RunNext(); });
  }

  void RunNext() {
    bool cancelled = false;
    bool aborted = false;
    {
      const std::lock_guard lock(mutex_);
      cancelled = cancelled_;
      aborted = aborted_;
      woken_ = false;
    }
    if (cancelled) {
      End(absl::CancelledError("the caller has gone"));
      return;
    }
    if (aborted) {
      End(source_->Aborted());
      return;
    }
    const std::function<void()> wake = [handle = handle_] {
      const std::lock_guard lock(handle->mutex);
      if (handle->stream != nullptr) {
        const std::lock_guard stream_lock(handle->stream->mutex_);
        handle->stream->WakeLocked();
      }
    };
    using State = typename StreamSource<Response>::State;
    message_.Clear();
    const absl::StatusOr<State> state =
        CatchExceptions("internal error", [&]() -> absl::StatusOr<State> { return source_->Next(wake, &message_); });
    if (!state.ok()) {
      End(state.status());
    } else if (*state == State::kItem) {
      this->StartWrite(&message_);
    } else if (*state == State::kEnd) {
      End(absl::OkStatus());
    } else {
      const std::lock_guard lock(mutex_);
      if (woken_) {
        Pull();
      } else {
        busy_ = false;
      }
    }
  }

  void End(const absl::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    log_.End(status);
    this->Finish(ToGrpc(status));
  }

  const RpcRuntime runtime_;
  const CallLog log_;
  const std::shared_ptr<Handle> handle_;
  const std::unique_ptr<StreamSource<Response>> source_;
  Response message_;

  std::mutex mutex_;
  // Guarded by mutex_.
  bool busy_ = true;
  bool woken_ = false;
  bool ended_ = false;
  bool cancelled_ = false;
  bool aborted_ = false;
};

// What a client stream's messages go to. On the pool, one call at a time.
template <typename Request, typename Response>
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual absl::Status Add(const Request& request) = 0;
  // After the last message. Not called when the caller went away.
  virtual absl::Status Close(Response* response) = 0;
};

template <typename Request, typename Response>
class PushStream : public grpc::ServerReadReactor<Request>, public OpenStreams::Stream {
 public:
  PushStream(const RpcRuntime& runtime, grpc::CallbackServerContext* context, std::string method, Response* response,
             std::unique_ptr<StreamSink<Request, Response>> sink)
      : runtime_(runtime),
        context_(context),
        log_(std::move(method), *context),
        response_(response),
        sink_(std::move(sink)) {
    runtime_.streams->Add(this);
    this->StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    runtime_.pool->Post([this, ok] {
      const absl::Status status = CatchExceptions("internal error", [&]() -> absl::Status {
        if (ok) {
          return sink_->Add(request_);
        }
        return context_->IsCancelled() ? absl::CancelledError("the caller has gone") : sink_->Close(response_);
      });
      if (ok && status.ok()) {
        this->StartRead(&request_);
        return;
      }
      log_.End(status);
      this->Finish(ToGrpc(status));
    });
  }

  void OnDone() override {
    runtime_.streams->Remove(this);
    delete this;
  }

  void Abort() override { context_->TryCancel(); }

 private:
  const RpcRuntime runtime_;
  grpc::CallbackServerContext* const context_;
  const CallLog log_;
  Response* const response_;
  const std::unique_ptr<StreamSink<Request, Response>> sink_;
  Request request_;
};

// A bidirectional stream: many requests at a time are worked on, answers go out in the requests' order.
//
// handler(index, request, done): on the pool; `done` from any thread, once. `request` lives until then.
template <typename Request, typename Response>
class OrderedStream : public grpc::ServerBidiReactor<Request, Response>, public OpenStreams::Stream {
 public:
  using Done = std::function<void(Response)>;
  using Handler = std::function<void(int64_t index, std::shared_ptr<const Request> request,
                                     const std::function<bool()>& abandoned, const Done& done)>;

  OrderedStream(const RpcRuntime& runtime, grpc::CallbackServerContext* context, std::string method, Handler handler)
      : runtime_(runtime), context_(context), log_(std::move(method), *context), handler_(std::move(handler)) {
    runtime_.streams->Add(this);
    this->StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    reading_ = false;
    if (!ok) {
      no_more_ = true;
      Advance();
      return;
    }
    const int64_t index = next_index_++;
    slots_.emplace_back();
    auto request = std::make_shared<Request>();
    request->Swap(&incoming_);
    runtime_.pool->Post([this, index, request] {
      handler_(
          index, request, [this] { return context_->IsCancelled(); },
          [this, index](Response response) {
            const std::lock_guard slot_lock(mutex_);
            slots_[static_cast<size_t>(index - first_index_)] = std::move(response);
            Advance();
          });
    });
    Advance();
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    broken_ = broken_ || !ok;
    Advance();
  }

  void OnDone() override {
    runtime_.streams->Remove(this);
    delete this;
  }

  void Abort() override { context_->TryCancel(); }

 private:
  // Does whatever can be done next; needs mutex_. The stream ends once every request has been answered: their handlers
  // still know it until then.
  void Advance() {
    while (!writing_ && !slots_.empty() && slots_.front().has_value()) {
      outgoing_ = *std::move(slots_.front());
      slots_.pop_front();
      ++first_index_;
      if (!broken_) {
        writing_ = true;
        this->StartWrite(&outgoing_);
      }
    }
    constexpr size_t kWindow = 16;  // requests a stream at a time
    if (!reading_ && !no_more_ && slots_.size() < kWindow) {
      reading_ = true;
      this->StartRead(&incoming_);
    }
    if (no_more_ && slots_.empty() && !writing_ && !ended_) {
      ended_ = true;
      const absl::Status status =
          broken_ || context_->IsCancelled() ? absl::CancelledError("the caller has gone") : absl::OkStatus();
      log_.End(status);
      this->Finish(ToGrpc(status));
    }
  }

  const RpcRuntime runtime_;
  grpc::CallbackServerContext* const context_;
  const CallLog log_;
  const Handler handler_;
  Request incoming_;
  Response outgoing_;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::deque<std::optional<Response>> slots_;  // requests that aren't answered yet, first_index_ first
  int64_t first_index_ = 0;
  int64_t next_index_ = 0;
  bool reading_ = true;
  bool writing_ = false;
  bool no_more_ = false;
  bool broken_ = false;
  bool ended_ = false;
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_REACTORS_H_
