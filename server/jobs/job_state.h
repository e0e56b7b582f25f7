// The job's state machine.
//
//            submit            start                report
//   (none) ---------> QUEUED ---------> RUNNING ---------------> SUCCEEDED
//                      |  ^               |  |
//               cancel |  +---------------+  +----------------> FAILED      (reported, or the worker died)
//                      |   server restarts   |
//                      v                     v
//                    CANCELLED <-------------+                              (cancel, and the worker has ended)
//
// A state is visible once its event is durable. A terminal one is so only after the job's result has been published:
// who reads SUCCEEDED finds the model.
#ifndef GRAFT_SERVER_JOBS_JOB_STATE_H_
#define GRAFT_SERVER_JOBS_JOB_STATE_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "graft/v1/jobs.pb.h"

namespace graft {

inline bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED || state == v1::JOB_STATE_CANCELLED;
}

// "running".
inline std::string StateName(v1::JobState state) {
  switch (state) {
    case v1::JOB_STATE_QUEUED:
      return "queued";
    case v1::JOB_STATE_RUNNING:
      return "running";
    case v1::JOB_STATE_SUCCEEDED:
      return "succeeded";
    case v1::JOB_STATE_FAILED:
      return "failed";
    case v1::JOB_STATE_CANCELLED:
      return "cancelled";
    default:
      return "unknown";
  }
}

// OK, or FAILED_PRECONDITION for an edge that the diagram doesn't have.
inline absl::Status CheckTransition(v1::JobState from, v1::JobState to) {
  bool legal = false;
  switch (from) {
    case v1::JOB_STATE_UNSPECIFIED:
      legal = to == v1::JOB_STATE_QUEUED;
      break;
    case v1::JOB_STATE_QUEUED:
      // FAILED: it could not be started.
      legal = to == v1::JOB_STATE_RUNNING || to == v1::JOB_STATE_CANCELLED || to == v1::JOB_STATE_FAILED;
      break;
    case v1::JOB_STATE_RUNNING:
      legal = to == v1::JOB_STATE_QUEUED || IsTerminal(to);
      break;
    default:
      break;
  }
  if (!legal) {
    return absl::FailedPreconditionError(
        absl::StrCat("a job that is ", StateName(from), " can't become ", StateName(to)));
  }
  return absl::OkStatus();
}

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_JOB_STATE_H_
