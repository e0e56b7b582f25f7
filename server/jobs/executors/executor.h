// Starts and ends the processes that run jobs.
#ifndef GRAFT_SERVER_JOBS_EXECUTORS_EXECUTOR_H_
#define GRAFT_SERVER_JOBS_EXECUTORS_EXECUTOR_H_

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "jobs/run.h"

namespace graft {

struct WorkerLaunch {
  std::string job_id;
  int attempt = 0;
  // What the worker shows at each call, so that it is told from any other.
  std::string incarnation;
  // A folder of this attempt, there already; the worker's output goes to worker.log in it.
  std::filesystem::path folder;
  // How it will compute: what an executor needs to know to find room for it.
  WorkerSettings settings;
};

// Thread-safe. None of the calls waits for a worker.
class Executor {
 public:
  // Says how a worker ended: OK for exit status 0, else what happened. Called once for each Start or Adopt that
  // returned OK, on a thread of the executor.
  using OnExit = std::function<void(absl::Status)>;

  virtual ~Executor() = default;
  virtual absl::Status Start(const WorkerLaunch& launch, OnExit on_exit) = 0;
  // Takes over a worker that an earlier server started. NOT_FOUND: it has ended.
  virtual absl::Status Adopt(const WorkerLaunch& launch, OnExit on_exit) = 0;
  // Asks the worker to end; it is killed when it hasn't after a grace period. Nothing when it isn't there.
  virtual void Stop(const std::string& job_id, int attempt) = 0;
  // Processor time that the worker has used so far, which tells one that is starved from one that hangs. Nullopt: it
  // isn't there, or this executor can't tell.
  virtual std::optional<absl::Duration> ProcessorTime(const std::string& job_id, int attempt) = 0;
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_EXECUTORS_EXECUTOR_H_
