// Core's progress as a job's: with rate and remaining time, and the question whether to stop.
#ifndef GRAFT_JOBS_PROGRESS_H_
#define GRAFT_JOBS_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "core/base/progress.h"
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

// Seconds since `start`.
double SecondsSince(std::chrono::steady_clock::time_point start);
// Milliseconds since 1970, UTC.
int64_t NowMs();

}  // namespace graft

#endif  // GRAFT_JOBS_PROGRESS_H_
