// Sends a job's events to the server, numbered, until each is acknowledged.
#ifndef GRAFT_WORKER_REPORTER_H_
#define GRAFT_WORKER_REPORTER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"
#include "graft/v1/worker.grpc.pb.h"
#include "jobs/job.h"

namespace graft {

struct ReporterOptions {
  std::string server;  // unix:PATH
  std::string job_id;
  int attempt = 0;
  std::string incarnation;
  // Without a server for this long, nobody wants the result. Only time spent trying counts, not that of a process that
  // was stopped itself.
  absl::Duration give_up = absl::Minutes(10);
  // Between reports; an empty one is a heartbeat that brings a cancel.
  absl::Duration interval = absl::Milliseconds(250);
  absl::Duration call_timeout = absl::Seconds(10);
};

// Thread-safe. Calls never wait for the server, but for the first and the last; a thread of its own does. Progress is
// coalesced: at most a few events a second, each with every step since the last.
class Reporter {
 public:
  explicit Reporter(ReporterOptions options);
  ~Reporter();

  // Waits for the server as long as reports do. FAILED_PRECONDITION: the attempt isn't to run any more; UNAVAILABLE:
  // given up; CANCELLED: stopped.
  absl::StatusOr<v1::Assignment> FetchAssignment();

  void Progress(const JobProgress& progress);
  void Epoch(const EpochMetrics& epoch);
  void Line(const JobLogLine& line);
  // The job's end. Returns once the server has acknowledged it: OK, or why it never will.
  absl::Status Finish(const JobStateChange& end);

  // The server wants the job to end, refuses what it is told, or could not be reached for too long; also set by
  // RequestStop.
  bool stopped() const { return stopped_; }
  // The server wants the job to do no more and to report what it has.
  bool finish() const { return finish_; }
  // For a signal handler.
  void RequestStop() { stopped_ = true; }

 private:
  void Enqueue(const JobEventBody& body) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FlushProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  // False: there is nothing left to send, and nothing will follow.
  bool NextReport(v1::ReportRequest* request) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Done() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return unacknowledged_.empty() || stopped_; }

  const ReporterOptions options_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> finish_{false};

  Mutex mutex_;
  std::deque<std::string> unacknowledged_ ABSL_GUARDED_BY(mutex_);
  int64_t first_sequence_ ABSL_GUARDED_BY(mutex_) = 1;  // of unacknowledged_.front()
  std::optional<JobProgress> progress_ ABSL_GUARDED_BY(mutex_);
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  // Last: it uses all of the above.
  std::thread thread_;
};

}  // namespace graft

#endif  // GRAFT_WORKER_REPORTER_H_
