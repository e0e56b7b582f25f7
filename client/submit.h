// Submitting a job, and what a command does next with it.
#ifndef GRAFT_CLIENT_SUBMIT_H_
#define GRAFT_CLIENT_SUBMIT_H_

#include <functional>
#include <string>

#include "client/connection.h"

namespace graft {

// A UUID (RFC 4122, version 4).
std::string NewRequestId();

// Submits with a fresh request id and tries again while the server is away: the id makes that safe.
absl::StatusOr<v1::Job> Submit(const Cli& cli, const v1::JobSpec& spec, bool validate_only = false);

// Ends a command that doesn't wait: submits, and says how to follow the job. Returns the exit status.
int SubmitAndLeave(const Cli& cli, const v1::JobSpec& spec);

// Ends a command that waits: submits, shows progress (with --format json none), and hands the result of a job that
// succeeded to `print`, which returns the exit status.
int SubmitAndWait(const Cli& cli, const v1::JobSpec& spec, const std::function<int(const v1::JobResult&)>& print);

}  // namespace graft

#endif  // GRAFT_CLIENT_SUBMIT_H_
