// Running a job, on the worker's side: its spec to calls of core, their progress to events.
#ifndef GRAFT_JOBS_RUN_H_
#define GRAFT_JOBS_RUN_H_

#include <filesystem>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/json.h"
#include "core/store/data_folder.h"
#include "jobs/job.h"

namespace graft {

// Where a running job's events go. Thread-safe; none of them waits for the server.
struct JobSink {
  std::function<void(const JobProgress&)> progress;
  std::function<void(const EpochMetrics&)> epoch;
  std::function<void(const JobLogLine&)> log;
  // The job is to end: cancelled, or taken over.
  std::function<bool()> stopped;
  // A training is to end now with the best weights so far, if there are some.
  std::function<bool()> finish;
};

// How a worker computes; the same for every kind. The server sends it as one message (worker.proto), so that a setting
// more is a field here and there and no parameter anywhere.
struct WorkerSettings {
  int threads = 1;
  std::string device = "auto";
  std::string convolution = "auto";
};

struct RunRequest {
  std::string job_id;
  std::string kind;
  nlohmann::json spec;
  int model_version = 0;
  WorkerSettings settings;
  const DataFolder* data = nullptr;
  std::filesystem::path weights_dir;
  std::filesystem::path staging;  // a folder for what is to be published
  // A folder, not made yet, that all attempts of the job share and that goes with the job's end; for a kind that can go
  // on from where an attempt before it was.
  std::filesystem::path checkpoints;
};

// Returns the kind's own result document. CANCELLED once sink.stopped(); UNIMPLEMENTED: this worker doesn't know the
// kind.
absl::StatusOr<nlohmann::json> RunJob(const RunRequest& request, const JobSink& sink);

}  // namespace graft

#endif  // GRAFT_JOBS_RUN_H_
