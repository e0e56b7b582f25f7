// What a person sees of a job.
#ifndef GRAFT_CLIENT_WATCH_VIEW_H_
#define GRAFT_CLIENT_WATCH_VIEW_H_

#include <optional>
#include <ostream>
#include <string>

#include "absl/time/time.h"
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

}  // namespace graft

#endif  // GRAFT_CLIENT_WATCH_VIEW_H_
