// Runs each job as a graft-worker process on this machine.
#ifndef GRAFT_SERVER_JOBS_LOCAL_EXECUTOR_H_
#define GRAFT_SERVER_JOBS_LOCAL_EXECUTOR_H_

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/jobs/executor.h"

namespace graft {

class LocalExecutor : public Executor {
 public:
  // `program`: graft-worker. `server`: what it reports to, "unix:/…".
  LocalExecutor(std::filesystem::path program, std::string server, absl::Duration grace = absl::Seconds(10));
  // Stops what still runs and waits for it.
  ~LocalExecutor() override;

  absl::Status Start(const WorkerLaunch& launch, OnExit on_exit) override;
  void Stop(const std::string& job_id, int attempt) override;

 private:
  using Key = std::pair<std::string, int>;
  struct Worker {
    pid_t pid;
    bool stopping = false;
    absl::Time kill_time = absl::InfiniteFuture();
  };

  // Waits for one worker, on a thread of its own.
  void Wait(const Key& key, int pidfd, const std::filesystem::path& log, const OnExit& on_exit);

  const std::filesystem::path program_;
  const std::string server_;
  const absl::Duration grace_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<Key, Worker> workers_;
  std::map<Key, std::thread> threads_;
  std::vector<Key> finished_;  // threads that only want to be joined
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_LOCAL_EXECUTOR_H_
