// One call of one RPC, as a handler sees it: who asks, until when, and whether anybody still waits. What is to be true
// of every call (tokens, limits, metrics) goes in here and into rpc/running_call.h, which makes it,
// and no handler changes.
#ifndef GRAFT_SERVER_CALL_H_
#define GRAFT_SERVER_CALL_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"

namespace graft {

// Is told what a call's time went into. Thread-safe.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  // "queue", "handler", "decode", "compute", ...; phases may lie within others.
  virtual void OnPhase(const char* phase, absl::Duration spent) = 0;
};

struct Call {
  std::string caller;                            // the peer's address; later, the token's name
  absl::Time deadline = absl::InfiniteFuture();  // the caller gives up then
  std::function<bool()> cancelled;               // empty: never; may be called from any thread while the call lasts
  CallObserver* observer = nullptr;              // null: nobody listens
  // Holds something until the answer has been sent, as the count of the memory that it takes. Empty: nobody would.
  std::function<void(std::shared_ptr<const void> something)> keep;

  bool Cancelled() const { return cancelled && cancelled(); }
};

}  // namespace graft

#endif  // GRAFT_SERVER_CALL_H_
