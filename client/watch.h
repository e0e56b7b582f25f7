// Following a job.
#ifndef GRAFT_CLIENT_WATCH_H_
#define GRAFT_CLIENT_WATCH_H_

#include <ostream>
#include <string>

#include "client/connection.h"
#include "graft/v1/jobs.pb.h"

namespace graft {

// Turns a job's events into what a person reads: on a terminal a live line that is redrawn in place and a line for each
// epoch, in a pipe plain lines, with progress once in a while.
class WatchView {
 public:
  WatchView(std::ostream* out, bool terminal) : out_(out), terminal_(terminal) {}

  void Show(const v1::JobEvent& event);
  // Wipes the live line.
  void Clear();

 private:
  void Line(const std::string& text);  // permanent
  void Live(const std::string& text);  // redrawn

  std::ostream* const out_;
  const bool terminal_;
  bool live_ = false;
  std::string phase_;
  int epochs_ = 0;
  int shown_tenth_ = -1;  // pipe: of the phase's progress
};

// Shows a job from `after` on until it has ended. `end`, when not null, gets the terminal event. Reconnects when the
// server goes away; on Ctrl-C leaves the job running and says how to come back. Returns an exit status.
int Watch(const Cli& cli, const std::string& job_id, int64_t after, v1::StateChange* end);

}  // namespace graft

#endif  // GRAFT_CLIENT_WATCH_H_
