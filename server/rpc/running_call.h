// One call from the moment it comes until it has ended: the one place where a handler's Call is made, and where a
// call's limits, times and log line are.
#ifndef GRAFT_SERVER_RPC_RUNNING_CALL_H_
#define GRAFT_SERVER_RPC_RUNNING_CALL_H_

#include <grpcpp/server_context.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"
#include "server/call.h"
#include "server/rpc/byte_budget.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/request_limits.h"
#include "server/rpc/thread_pool.h"

namespace graft {

// What calls run with; all of it longer-lived than any call.
struct RpcRuntime {
  ThreadPool* calls = nullptr;    // unary ones; refused when its queue is full
  ThreadPool* streams = nullptr;  // streams, so that a crowd of them keeps no unary call waiting
  OpenCalls* open = nullptr;
  ByteBudget* bytes = nullptr;
  size_t max_string_bytes = kMaxStringBytes;
};

// Thread-safe. Needs nothing of gRPC once it is made, so it may outlive gRPC's side of the call.
class RunningCall final : public CallObserver {
 public:
  RunningCall(std::string method, const grpc::CallbackServerContext& context);

  // Counts the call; see OpenCalls::Enter.
  absl::Status Enter(OpenCalls* open, OpenCalls::Kind kind, std::function<void()> abort);
  // No longer counted, and what was kept for it let go. What else hangs on the call must be gone.
  void Leave();

  const Call& call() const { return call_; }
  // The caller has gone.
  void Cancel();
  // CANCELLED or DEADLINE_EXCEEDED when nobody waits for an answer: work isn't begun then.
  absl::Status Wanted() const;

  void OnPhase(const char* phase, absl::Duration spent) override;
  // Logs what became of the call. Never throws: the call must be answered after it.
  void End(const absl::Status& status) noexcept;

 private:
  const std::string method_;
  const absl::Time start_;
  const std::shared_ptr<std::atomic<bool>> cancelled_;
  const Call call_;

  Mutex mutex_;
  OpenCalls::Ticket ticket_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<const char*, absl::Duration>> phases_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<const void>> kept_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_RUNNING_CALL_H_
