// The job's state machine.
//
//            submit            start                 result reported               result in its place
//   (none) ---------> QUEUED ---------> RUNNING ---------------------> PUBLISHING ---------------------> SUCCEEDED
//                      | | ^             | | |                             |
//                      | | +-------------+ | |                             | it can't be put there
//                      | |   worker lost   | | worker died, or             v
//                      | |                 | | reported an error
//                      | +-----------------|-+------------------------> FAILED
//                      |  can't be started |
//                      |                   |
//                      +-------------------+------------------------> CANCELLED
//                            cancel (a running job's once its worker has ended)
//
//   QUEUED and RUNNING ---------> PAUSED ---------> QUEUED or CANCELLED
//              pause (a running job's once its worker has ended)
//
// A state is visible once it is durable, and SUCCEEDED is written only after the result is in its place: who reads it
// finds the model. PUBLISHING is durable before anything is put in place, together with the result: a server that dies
// there finishes publishing when it is back and doesn't run the job again. Callers see it as running.
#ifndef GRAFT_SERVER_JOBS_TRANSITIONS_H_
#define GRAFT_SERVER_JOBS_TRANSITIONS_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "jobs/job.h"

namespace graft {

// OK, or FAILED_PRECONDITION for an edge that the diagram doesn't have.
inline absl::Status CheckTransition(JobState from, JobState to) {
  bool legal = false;
  switch (from) {
    case JobState::kQueued:
      legal =
          to == JobState::kRunning || to == JobState::kFailed || to == JobState::kCancelled || to == JobState::kPaused;
      break;
    case JobState::kRunning:
      legal = to == JobState::kQueued || to == JobState::kPublishing || to == JobState::kFailed ||
              to == JobState::kCancelled || to == JobState::kPaused;
      break;
    case JobState::kPublishing:
      legal = to == JobState::kSucceeded || to == JobState::kFailed;
      break;
    case JobState::kPaused:
      legal = to == JobState::kQueued || to == JobState::kCancelled;
      break;
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled:
      break;
  }
  if (!legal) {
    return absl::FailedPreconditionError(
        absl::StrCat("a job that is ", JobStateName(from), " can't become ", JobStateName(to)));
  }
  return absl::OkStatus();
}

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_TRANSITIONS_H_
