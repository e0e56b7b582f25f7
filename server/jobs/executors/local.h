// Runs each job as a graft-worker process on this machine.
#ifndef GRAFT_SERVER_JOBS_EXECUTORS_LOCAL_H_
#define GRAFT_SERVER_JOBS_EXECUTORS_LOCAL_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"
#include "server/jobs/executors/executor.h"

namespace graft {

struct LocalExecutorOptions {
  std::filesystem::path program;  // graft-worker
  std::string server;             // what it reports to: "unix:/..."
  std::filesystem::path data_dir;
  std::filesystem::path weights_dir;
  // Without a server for this long, a worker ends. Long: its server may be stopped, swapped out or starting again, and
  // the result may be worth hours.
  absl::Duration give_up = absl::Minutes(10);
  // From the request to end until the worker is killed.
  absl::Duration grace = absl::Seconds(10);
  // A longer worker.log loses its older half.
  int64_t max_log_bytes = 16 << 20;
};

class LocalExecutor : public Executor {
 public:
  explicit LocalExecutor(LocalExecutorOptions options) : options_(std::move(options)) {}
  // Stops what still runs and waits for it.
  ~LocalExecutor() override;

  absl::Status Start(const WorkerLaunch& launch, OnExit on_exit) override;
  // By worker.json in the attempt's folder, which names the process, when it started and since which boot: a process
  // number that was given out again is never taken for the worker.
  absl::Status Adopt(const WorkerLaunch& launch, OnExit on_exit) override;
  void Stop(const std::string& job_id, int attempt) override;
  std::optional<absl::Duration> ProcessorTime(const std::string& job_id, int attempt) override;

 private:
  using Key = std::pair<std::string, int>;
  struct Worker {
    pid_t pid = 0;
    int pidfd = -1;
    bool child = true;  // else adopted: how it ended can't be asked
    bool stopping = false;
    std::chrono::steady_clock::time_point kill_time = std::chrono::steady_clock::time_point::max();
  };

  // Watches over one worker on a thread of its own, until it has ended.
  void Watch(const Key& key, const Worker& worker, const std::filesystem::path& log, OnExit on_exit);
  void Wait(const Key& key, int pidfd, bool child, const std::filesystem::path& log, const OnExit& on_exit);

  const LocalExecutorOptions options_;
  Mutex mutex_;
  std::map<Key, Worker> workers_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, std::thread> threads_ ABSL_GUARDED_BY(mutex_);
  std::vector<Key> finished_ ABSL_GUARDED_BY(mutex_);  // threads that only want to be joined
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_EXECUTORS_LOCAL_H_
