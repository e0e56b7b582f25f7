// Core's progress as a job's: with rate and remaining time, and the question whether to stop.
#ifndef GRAFT_JOBS_PROGRESS_H_
#define GRAFT_JOBS_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/base/progress.h"
#include "core/train/hooks.h"
#include "jobs/run.h"

namespace graft {

// CANCELLED once the job is to stop.
absl::Status CheckStop(const JobSink& sink);

// Of one job, phase after phase. One caller at a time.
class ProgressTracker {
 public:
  explicit ProgressTracker(const JobSink& sink) : sink_(sink) {}

  absl::Status Update(const ProgressUpdate& update);
  // What core takes; lives no longer than this.
  ProgressFn Fn() {
    return [this](const ProgressUpdate& update) { return Update(update); };
  }

 private:
  using Clock = std::chrono::steady_clock;

  const JobSink& sink_;
  std::string phase_;
  int64_t done_ = 0;
  Clock::time_point last_ = Clock::now();
  Clock::time_point start_ = last_;
};

// Steps of a training as its job's progress: one bar an epoch. The remaining time is that of all epochs, and unknown
// while a stage runs that others follow, whose steps take another time.
class StepTracker {
 public:
  using Clock = std::chrono::steady_clock;

  StepTracker(const JobSink& sink, int batch_size, std::function<Clock::time_point()> now = &Clock::now)
      : sink_(sink), batch_size_(batch_size), now_(std::move(now)) {}

  absl::Status Update(const StepUpdate& update);

 private:
  // Where a time began: with the end of this step, for a step's own start isn't known here.
  struct Mark {
    int64_t step = 0;
    Clock::time_point time;
  };

  const JobSink& sink_;
  const int batch_size_;
  const std::function<Clock::time_point()> now_;
  std::optional<StepUpdate> last_;
  Mark epoch_;  // steps of the epoch
  Mark stage_;  // steps of the training
};

// Seconds since `start`.
double SecondsSince(std::chrono::steady_clock::time_point start);
// Milliseconds since 1970, UTC.
int64_t NowMs();

}  // namespace graft

#endif  // GRAFT_JOBS_PROGRESS_H_
