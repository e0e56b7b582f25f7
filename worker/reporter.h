// Sends a job's events to the server, numbered, until each is acknowledged.
#ifndef GRAFT_WORKER_REPORTER_H_
#define GRAFT_WORKER_REPORTER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "graft/v1/worker.grpc.pb.h"

namespace graft {

// Thread-safe. Calls never wait for the server; a thread of its own does. Progress is coalesced: at most a few events a
// second, each with every step since the last.
class Reporter {
 public:
  Reporter(const std::string& server, std::string job_id, int attempt);
  ~Reporter();

  absl::StatusOr<v1::Assignment> FetchAssignment();

  void Progress(const v1::Progress& progress);
  void Epoch(const v1::EpochMetrics& epoch);
  void Log(const std::string& text, bool warning);
  // The job's end. Returns once the server has acknowledged it, or is gone for good.
  void Finish(const v1::StateChange& end);

  // The server wants the job to end, or could not be reached for a minute; also set by RequestStop.
  bool stopped() const { return stopped_; }
  // For a signal handler.
  void RequestStop() { stopped_ = true; }

 private:
  void Enqueue(v1::JobEvent event);  // needs mutex_
  void FlushProgress();              // needs mutex_
  void SendLoop();

  const std::string job_id_;
  const int attempt_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::atomic<bool> stopped_{false};

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::deque<v1::JobEvent> unacknowledged_;
  int64_t first_sequence_ = 1;  // of unacknowledged_.front()
  std::optional<v1::Progress> progress_;
  bool finishing_ = false;
  // Last: it uses all of the above.
  std::thread thread_;
};

}  // namespace graft

#endif  // GRAFT_WORKER_REPORTER_H_
