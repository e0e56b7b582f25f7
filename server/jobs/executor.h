// Starts and ends the processes that run jobs.
#ifndef GRAFT_SERVER_JOBS_EXECUTOR_H_
#define GRAFT_SERVER_JOBS_EXECUTOR_H_

#include <filesystem>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace graft {

struct WorkerLaunch {
  std::string job_id;
  int attempt = 0;
  // A folder of this attempt, there already; the worker's output goes to worker.log in it.
  std::filesystem::path folder;
};

// Thread-safe.
class Executor {
 public:
  // Says how a worker ended: OK for exit status 0, else what happened. Called once for each Start that returned OK, on
  // a thread of the executor.
  using OnExit = std::function<void(absl::Status)>;

  virtual ~Executor() = default;
  virtual absl::Status Start(const WorkerLaunch& launch, OnExit on_exit) = 0;
  // Asks the worker to end; it is killed when it hasn't after a grace period. Nothing when it isn't there.
  virtual void Stop(const std::string& job_id, int attempt) = 0;
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_EXECUTOR_H_
