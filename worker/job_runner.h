// Runs a job: its spec to calls of core, their progress to events.
#ifndef GRAFT_WORKER_JOB_RUNNER_H_
#define GRAFT_WORKER_JOB_RUNNER_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "graft/v1/worker.pb.h"

namespace graft {

// Where a running job's events go.
struct JobSink {
  std::function<void(const v1::Progress&)> progress;
  std::function<void(const v1::EpochMetrics&)> epoch;
  std::function<void(const std::string& text, bool warning)> log;
  std::function<bool()> stopped;
};

// Leaves what the job made in assignment.staging_dir (caches go straight to the data set). CANCELLED once
// sink.stopped().
absl::StatusOr<v1::JobResult> RunJob(const std::string& job_id, const v1::Assignment& assignment, const JobSink& sink);

}  // namespace graft

#endif  // GRAFT_WORKER_JOB_RUNNER_H_
