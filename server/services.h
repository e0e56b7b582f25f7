// The gRPC services: one line an RPC, through rpc/.
#ifndef GRAFT_SERVER_SERVICES_H_
#define GRAFT_SERVER_SERVICES_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "server/handlers/handlers.h"
#include "server/rpc/running_call.h"

namespace graft {

// The public services. `deps` and `runtime` must live longer.
std::vector<std::unique_ptr<grpc::Service>> MakePublicServices(const Deps* deps, const RpcRuntime* runtime);
// For workers, on their socket only.
std::unique_ptr<grpc::Service> MakeWorkerService(JobManager* jobs, const RpcRuntime* runtime);
// For health checks: "graft.v1.JobService", ...
std::vector<std::string> PublicServiceNames();

}  // namespace graft

#endif  // GRAFT_SERVER_SERVICES_H_
