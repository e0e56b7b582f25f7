// One unary call, all pages of a list, and how an answer is shown: what nearly every command consists of.
#ifndef GRAFT_CLIENT_CALL_H_
#define GRAFT_CLIENT_CALL_H_

#include <algorithm>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/connection.h"
#include "core/base/status.h"

namespace graft {

// Call(*cli.jobs, &v1::JobService::Stub::GetJob, request): the answer, or the call's error.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                              const Request& request, absl::Time deadline = absl::Now() + kCallTime) {
  Response response;
  GRAFT_RETURN_IF_ERROR(FromGrpc((stub.*method)(UnaryContext(deadline).get(), request, &response)));
  return response;
}

// The same for a list that comes in pages: all of it in one answer.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> CallForAllPages(Stub& stub,
                                         grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                         Request request, absl::Time deadline = absl::InfiniteFuture()) {
  Response all;
  request.set_page_size(1000);
  do {
    GRAFT_ASSIGN_OR_RETURN(const Response page,
                           Call(stub, method, request, std::min(deadline, absl::Now() + kCallTime)));
    request.set_page_token(page.next_page_token());
    all.MergeFrom(page);
  } while (!request.page_token().empty());
  all.clear_next_page_token();
  return all;
}

// Ends a command with what came of its call: an error, with --format json the answer as it is, or what `print` makes of
// it. Returns the exit status.
template <typename Response, typename Print>
int Show(const Cli& cli, const absl::StatusOr<Response>& response, const Print& print) {
  if (!response.ok()) {
    return cli.Fail(response.status());
  }
  if (cli.json) {
    cli.PrintJson(*response);
  } else {
    print(*response);
  }
  return kOk;
}

}  // namespace graft

#endif  // GRAFT_CLIENT_CALL_H_
