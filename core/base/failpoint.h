// Failpoints: named places in the code at which a test makes the process die, the disk fill up, or time pass. Compiled
// in, off unless GRAFT_FAILPOINTS is in the environment when the process starts, and then one load of a flag each.
//
//   GRAFT_FAILPOINTS="publish.rename=kill,job_log.commit=error:3"
//
// NAME=ACTION[:N]: at the N-th time that the place is reached (from 1; without N: each time) the process is killed
// ("kill", as by SIGKILL), the place returns RESOURCE_EXHAUSTED ("error", as a full disk does), or it waits for 100 ms
// ("delay").
#ifndef GRAFT_CORE_BASE_FAILPOINT_H_
#define GRAFT_CORE_BASE_FAILPOINT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace graft {

// OK, unless the failpoint is on. Thread-safe.
absl::Status Failpoint(absl::string_view name);

// For tests in one process: takes the place of what the environment says. An empty text turns all off.
// INVALID_ARGUMENT: not of the form above.
absl::Status SetFailpoints(absl::string_view text);

}  // namespace graft

#endif  // GRAFT_CORE_BASE_FAILPOINT_H_
