// Following a job.
#ifndef GRAFT_CLIENT_WATCH_H_
#define GRAFT_CLIENT_WATCH_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "client/connection.h"
#include "graft/v1/jobs.pb.h"

namespace graft {

using EventTaker = std::function<absl::Status(const v1::JobEvent&)>;

struct WatchOptions {
  // Only events after this sequence number.
  int64_t after = 0;
  enum class Show {
    kView,    // for a person, or with --format json one event a line
    kResult,  // with --format json nothing, as the caller prints one document at the end
  } show = Show::kView;
  // The server answered a moment ago, so wait for it when it is away now.
  bool submitted = false;
  // Gets each event, once and in turn, before it is shown; an error of its own ends the watch. Null: nobody does.
  EventTaker take = nullptr;
};

// Shows a job until it has ended. `end`, when not null, gets the terminal state. Reconnects when the server goes away,
// without gap or repeat; on Ctrl-C leaves the job running and says how to come back. Returns an exit status.
int Watch(const Cli& cli, const std::string& job_id, const WatchOptions& options, v1::StateChange* end);

// A job's events up to the number `last`, which the server has given out, without waiting for more.
absl::Status ReadEvents(const Cli& cli, const std::string& job_id, int64_t last, const EventTaker& take);

}  // namespace graft

#endif  // GRAFT_CLIENT_WATCH_H_
