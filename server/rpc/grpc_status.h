// absl's Status as gRPC's.
#ifndef GRAFT_SERVER_RPC_GRPC_STATUS_H_
#define GRAFT_SERVER_RPC_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace graft {

// The codes are the same. A message longer than 1 KiB is cut between two characters: trailers bear little more, and a
// name from a request may stand in it.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_GRPC_STATUS_H_
