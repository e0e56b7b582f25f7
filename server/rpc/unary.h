// Unary calls: let in, checked, run on the pool, and answered exactly once.
#ifndef GRAFT_SERVER_RPC_UNARY_H_
#define GRAFT_SERVER_RPC_UNARY_H_

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "server/call.h"
#include "server/rpc/running_call.h"

namespace graft {

// Runs on the pool and answers through `done`, later and from any thread if it likes; the first answer counts. The call
// lives until then.
using AsyncHandler = std::function<void(const Call& call, const std::function<void(absl::Status)>& done)>;
// Runs on the pool.
using Handler = std::function<absl::Status(const Call& call)>;

// RESOURCE_EXHAUSTED: too many calls, or bytes of requests, are waiting; INVALID_ARGUMENT: a string is too long;
// UNAVAILABLE: the server is shutting down; INTERNAL: the handler threw. `request` is gRPC's.
grpc::ServerUnaryReactor* RunUnaryAsync(const RpcRuntime& runtime, grpc::CallbackServerContext* context,
                                        std::string method, const google::protobuf::Message& request,
                                        AsyncHandler handler);
grpc::ServerUnaryReactor* RunUnary(const RpcRuntime& runtime, grpc::CallbackServerContext* context, std::string method,
                                   const google::protobuf::Message& request, Handler handler);

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_UNARY_H_
