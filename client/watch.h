// Following a job.
#ifndef GRAFT_CLIENT_WATCH_H_
#define GRAFT_CLIENT_WATCH_H_

#include <string>

#include "client/connection.h"
#include "graft/v1/jobs.pb.h"

namespace graft {

struct WatchOptions {
  // Only events after this sequence number.
  int64_t after = 0;
  enum class Show {
    kView,    // for a person, or with --format json one event a line
    kResult,  // with --format json nothing, as the caller prints one document at the end
  } show = Show::kView;
  // The server answered a moment ago, so wait for it when it is away now.
  bool submitted = false;
};

// Shows a job until it has ended. `end`, when not null, gets the terminal state. Reconnects when the server goes away,
// without gap or repeat; on Ctrl-C leaves the job running and says how to come back. Returns an exit status.
int Watch(const Cli& cli, const std::string& job_id, const WatchOptions& options, v1::StateChange* end);

}  // namespace graft

#endif  // GRAFT_CLIENT_WATCH_H_
