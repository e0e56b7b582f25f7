// Following a job.
#ifndef GRAFT_CLIENT_WATCH_H_
#define GRAFT_CLIENT_WATCH_H_

#include <optional>
#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "client/connection.h"
#include "graft/v1/jobs.pb.h"

namespace graft {

// Turns a job's events into what a person reads: on a terminal a live line that is redrawn in place and a permanent
// line for each epoch; in a pipe plain lines, with progress at most every five seconds of the events' own time (so that
// a replay of hours isn't pages long). Knows nothing of the stream.
class WatchView {
 public:
  // `columns`: the terminal's width; the live line never wraps.
  WatchView(std::ostream* out, bool terminal, int columns = 80)
      : out_(out), terminal_(terminal), columns_(columns > 20 ? columns : 20) {}

  void Show(const v1::JobEvent& event);
  // While the job waits: 1 is the next to start.
  void ShowQueuePosition(const std::string& job_id, int position);
  // Wipes the live line.
  void Clear();

 private:
  void ShowProgress(const v1::Progress& progress, absl::Time time);
  void ShowState(const v1::JobEvent& event, absl::Time time);
  void EndPhase(absl::Time time);
  std::string ProgressText(const v1::Progress& progress) const;
  void Line(const std::string& text);  // permanent
  void Live(const std::string& text);  // redrawn

  std::ostream* const out_;
  const bool terminal_;
  const int columns_;
  bool live_ = false;
  int queue_position_ = 0;
  int epochs_ = 0;
  std::optional<v1::StepMetrics> step_;
  // Of the phase that runs; nullopt between phases.
  std::optional<v1::Progress> phase_;
  absl::Time phase_start_;
  absl::Time last_line_;
};

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
