// What handlers of streams are made of; no gRPC in sight. Both run and are destroyed on a pool, never on gRPC's
// threads.
#ifndef GRAFT_SERVER_RPC_STREAM_H_
#define GRAFT_SERVER_RPC_STREAM_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace graft {

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
  // One call at a time. `wake` may be kept and called from anywhere, at any time.
  virtual absl::StatusOr<State> Next(const std::function<void()>& wake, Response* out) = 0;
  // What a client is told when the server shuts down.
  virtual absl::Status Aborted() const { return absl::UnavailableError("the server is shutting down; try again"); }
};

// What a client stream's messages go to.
template <typename Request, typename Response>
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  // One call at a time.
  virtual absl::Status Add(const Request& request) = 0;
  // After the last message. Not called when the caller went away, nor when the server shut down meanwhile.
  virtual absl::Status Close(Response* response) = 0;
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_STREAM_H_
