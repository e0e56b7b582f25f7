// Bidirectional streams whose requests are worked on many at a time and answered in their order.
#ifndef GRAFT_SERVER_RPC_ORDERED_STREAM_H_
#define GRAFT_SERVER_RPC_ORDERED_STREAM_H_

#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/base/status.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/running_call.h"

namespace graft {

// At most kWindow requests at a time; the next one is read when the byte budget has room. When the caller goes, the
// stream ends at once, and answers that come later find nobody. When the server shuts down, what has been read is
// answered first.
//
// Whatever happens changes the state under the lock and then calls Advance. One thread at a time (acting_) does what
// the state asks for, calling gRPC without the lock: gRPC may call back on another thread before its call returns, and
// OnDone may come while Finish is still on its way out. gRPC has a share of the object until OnDone, and so has each
// request until it is answered.
template <typename Request, typename Response>
class OrderedStream final : public grpc::ServerBidiReactor<Request, Response>,
                            public std::enable_shared_from_this<OrderedStream<Request, Response>> {
 public:
  using Done = std::function<void(absl::StatusOr<Response>)>;
  // Runs on the pool. `done` may be called later, from any thread; its first call counts, and an error ends the stream.
  // `request` is held against the byte budget until its last holder lets it go. `call` lives until `done` is called.
  using Handler =
      std::function<void(const Call& call, int64_t index, std::shared_ptr<const Request> request, Done done)>;

  static constexpr size_t kWindow = 16;

  // Errors as those of RunUnary.
  static grpc::ServerBidiReactor<Request, Response>* Start(const RpcRuntime& runtime,
                                                           grpc::CallbackServerContext* context, std::string method,
                                                           OpenCalls::Kind kind, Handler handler) {
    const std::shared_ptr<OrderedStream> stream(
        new OrderedStream(runtime, context, std::move(method), std::move(handler)));
    stream->self_ = stream;
    stream->React([&]() -> absl::Status {
      return stream->running_.Enter(runtime.open, kind, [weak = stream->weak_from_this()] {
        if (const auto alive = weak.lock()) {
          alive->Set(&OrderedStream::aborted_, true);
        }
      });
    });
    stream->Advance();
    return stream.get();
  }

  void OnReadDone(bool ok) override {
    React([&]() -> absl::Status {
      auto held = std::make_shared<Held>();
      int64_t index = 0;
      {
        const MutexLock lock(&mutex_);
        reading_ = false;
        if (!ok) {
          no_more_ = true;
          gone_ = gone_ || context_->IsCancelled();  // OnCancel may come later
          return absl::OkStatus();
        }
        if (ended_) {
          return absl::OkStatus();
        }
        held->request.Swap(&incoming_);
        held->bytes = runtime_.bytes->Take(static_cast<int64_t>(held->request.ByteSizeLong()));
        index = first_index_ + static_cast<int64_t>(slots_.size());
        slots_.emplace_back();
      }
      GRAFT_RETURN_IF_ERROR(CheckStrings(held->request, runtime_.max_string_bytes));
      runtime_.streams->Post([self = this->shared_from_this(), index, held = std::move(held)]() mutable {
        self->Handle(index, std::move(held));
      });
      return absl::OkStatus();
    });
    Advance();
  }

  void OnWriteDone(bool ok) override {
    {
      const MutexLock lock(&mutex_);
      writing_ = false;
      gone_ = gone_ || !ok;
    }
    Advance();
  }

  void OnCancel() override {
    running_.Cancel();
    Set(&OrderedStream::gone_, true);
  }

  void OnDone() override {
    runtime_.streams->Post([self = std::move(self_)] { self->running_.Leave(); });
  }

 private:
  struct Held {
    Request request;
    ByteBudget::Reservation bytes;
  };
  enum class Act { kNothing, kRead, kWaitForRoom, kWrite, kFinish };

  OrderedStream(const RpcRuntime& runtime, grpc::CallbackServerContext* context, std::string method, Handler handler)
      : runtime_(runtime), context_(context), running_(std::move(method), *context), handler_(std::move(handler)) {}

  void Set(bool OrderedStream::*flag, bool value) {
    {
      const MutexLock lock(&mutex_);
      this->*flag = value;
    }
    Advance();
  }

  // An error, or an exception, ends the stream at the next Advance.
  template <typename Fn>
  void React(Fn&& fn) {
    absl::Status status = CatchExceptions("internal error", std::forward<Fn>(fn));
    if (!status.ok()) {
      const MutexLock lock(&mutex_);
      failure_.Update(status);
    }
  }

  void Handle(int64_t index, std::shared_ptr<Held> held) {
    React([&]() -> absl::Status {
      GRAFT_RETURN_IF_ERROR(running_.Wanted());
      const Request* request = &held->request;
      handler_(running_.call(), index, std::shared_ptr<const Request>(std::move(held), request),
               [self = this->shared_from_this(), index](absl::StatusOr<Response> response) {
                 self->Answer(index, std::move(response));
               });
      return absl::OkStatus();
    });
    Advance();
  }

  void Answer(int64_t index, absl::StatusOr<Response> response) {
    {
      const MutexLock lock(&mutex_);
      if (ended_ || index < first_index_) {
        return;
      }
      std::optional<Response>& slot = slots_[static_cast<size_t>(index - first_index_)];
      if (slot.has_value()) {
        return;
      }
      if (response.ok()) {
        slot = *std::move(response);
      } else {
        failure_.Update(response.status());
      }
    }
    Advance();
  }

  void Advance() {
    {
      const MutexLock lock(&mutex_);
      if (acting_) {
        return;  // who acts sees what has changed
      }
      acting_ = true;
    }
    for (;;) {
      absl::Status status;
      const Act act = Decide(&status);
      if (act == Act::kNothing) {
        return;
      }
      React([&] {
        Do(act, status);
        return absl::OkStatus();
      });
    }
  }

  void Do(Act act, const absl::Status& status) {
    switch (act) {
      case Act::kNothing:
        break;
      case Act::kRead:
        this->StartRead(&incoming_);
        break;
      case Act::kWaitForRoom:
        runtime_.bytes->WhenRoom([weak = this->weak_from_this(), pool = runtime_.streams] {
          pool->Post([weak] {
            if (const auto alive = weak.lock()) {
              alive->Set(&OrderedStream::waiting_, false);
            }
          });
        });
        break;
      case Act::kWrite:
        this->StartWrite(&outgoing_);
        break;
      case Act::kFinish:
        running_.End(status);
        this->Finish(ToGrpc(status));
        break;
    }
  }

  // What to do next, taken as done; kNothing ends the acting.
  Act Decide(absl::Status* status) {
    const MutexLock lock(&mutex_);
    if (!ended_ && !writing_) {
      if (gone_) {
        *status = absl::CancelledError("the caller has gone");
      } else if (!failure_.ok()) {
        *status = failure_;
      } else if (slots_.empty() && aborted_ && !no_more_) {
        *status = ShuttingDown();
      }
      if (!status->ok() || (slots_.empty() && no_more_)) {
        ended_ = true;
        slots_.clear();
        return Act::kFinish;
      }
      if (!slots_.empty() && slots_.front().has_value()) {
        outgoing_ = *std::move(slots_.front());
        slots_.pop_front();
        ++first_index_;
        writing_ = true;
        return Act::kWrite;
      }
    }
    if (!ended_ && !reading_ && !waiting_ && !no_more_ && !aborted_ && slots_.size() < kWindow) {
      if (!runtime_.bytes->HasRoom()) {
        waiting_ = true;
        return Act::kWaitForRoom;
      }
      reading_ = true;
      return Act::kRead;
    }
    acting_ = false;
    return Act::kNothing;
  }

  const RpcRuntime runtime_;
  grpc::CallbackServerContext* const context_;  // until OnDone
  RunningCall running_;
  const Handler handler_;
  std::shared_ptr<OrderedStream> self_;  // gRPC's share
  Request incoming_;                     // gRPC's while reading_
  Response outgoing_;                    // gRPC's while writing_

  Mutex mutex_;
  std::deque<std::optional<Response>> slots_ ABSL_GUARDED_BY(mutex_);  // what isn't answered yet, first_index_ first
  int64_t first_index_ ABSL_GUARDED_BY(mutex_) = 0;
  bool acting_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;  // for room in the byte budget
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_more_ ABSL_GUARDED_BY(mutex_) = false;  // the client has sent all
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_ORDERED_STREAM_H_
