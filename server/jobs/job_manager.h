// Queues jobs, starts their workers, keeps their event logs and tells who watches.
#ifndef GRAFT_SERVER_JOBS_JOB_MANAGER_H_
#define GRAFT_SERVER_JOBS_JOB_MANAGER_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "graft/v1/worker.pb.h"
#include "server/jobs/executor.h"
#include "server/jobs/job_store.h"

namespace graft {

struct JobManagerOptions {
  std::filesystem::path data_dir;
  std::filesystem::path weights_dir;
  int max_running = 1;
  int max_queued = 1000;
  // A job whose server died under it starts again at most this often in all.
  int max_attempts = 3;
  int threads = 1;  // of a worker's network
  std::string device = "auto";
  std::string convolution = "auto";
  // Milliseconds since 1970; a test brings its own.
  std::function<int64_t()> now_ms;
};

// Thread-safe. Calls write to disk, so no gRPC thread makes them.
class JobManager {
 public:
  // Makes a finished job's result visible: moves what the worker left in `staging` to its place. Called before the job
  // becomes SUCCEEDED; an error makes it FAILED. Called again for the same job after a crash in between.
  using Publish = std::function<absl::Status(const StoredJob& job, const std::filesystem::path& staging)>;

  // Puts jobs that were running when the server ended back into the queue.
  static absl::StatusOr<std::unique_ptr<JobManager>> Open(JobManagerOptions options, Executor* executor,
                                                          Publish publish);
  // Shutdown must have been called.
  ~JobManager() = default;

  // Starts jobs from now on.
  void Start();
  // Stops the workers; their jobs are queued again and run when the server is back.
  void Shutdown();

  // The job of this request_id when there is one: with the same spec. ALREADY_EXISTS: with another. Nullopt: none.
  absl::StatusOr<std::optional<v1::Job>> FindRequest(const std::string& request_id, const v1::JobSpec& submitted);
  // `spec`: `submitted`, checked, with its defaults filled in. For a training job, `newest_version` is the model's
  // newest on disk.
  absl::StatusOr<v1::Job> Submit(const std::string& request_id, const v1::JobSpec& submitted, const v1::JobSpec& spec,
                                 int newest_version);
  absl::StatusOr<v1::Job> Get(const std::string& id);
  absl::StatusOr<std::vector<v1::Job>> List(const JobFilter& filter);
  absl::StatusOr<v1::Job> Cancel(const std::string& id);
  int running() const;
  int queued() const;
  int max_running() const { return options_.max_running; }

  // Jobs that are queued or running and use the data set or model; empty: none.
  std::string UserOfDataset(const std::string& dataset) const;
  std::string UserOfModel(const std::string& model, int version) const;
  // The queued or running job that makes this data set.
  std::string MakerOfDataset(const std::string& dataset) const;

  // The next events after `after`. `ended`: the job is terminal and no event follows these.
  struct EventPage {
    std::vector<v1::JobEvent> events;
    bool ended = false;
  };
  absl::StatusOr<EventPage> Events(const std::string& id, int64_t after);
  // Calls `notify` after each new event of the job, outside of the manager's lock; it must be quick. NOT_FOUND.
  absl::StatusOr<int64_t> Subscribe(const std::string& id, std::function<void()> notify);
  void Unsubscribe(int64_t subscription);

  // For workers.
  absl::StatusOr<v1::Assignment> FetchAssignment(const v1::FetchAssignmentRequest& request);
  absl::StatusOr<v1::ReportResponse> Report(const v1::ReportRequest& request);

 private:
  struct Subscription {
    int64_t number;
    std::shared_ptr<const std::function<void()>> notify;
  };
  // What to call once the lock is released.
  using Notifications = std::vector<std::shared_ptr<const std::function<void()>>>;

  JobManager(JobManagerOptions options, Executor* executor, Publish publish, std::unique_ptr<JobStore> store);

  std::filesystem::path AttemptFolder(const StoredJob& job) const;
  // All of these need mutex_ held.
  absl::Status SetState(StoredJob* job, v1::JobState state, const absl::Status& error, const v1::JobResult* result,
                        Notifications* notifications);
  absl::Status Append(StoredJob* job, std::vector<v1::JobEvent> events, Notifications* notifications);
  void StartNext(Notifications* notifications);
  v1::Job Public(const StoredJob& job) const;
  void OnWorkerExit(int64_t number, int attempt, const absl::Status& exit);
  static void Notify(const Notifications& notifications);

  const JobManagerOptions options_;
  Executor* const executor_;
  const Publish publish_;
  const std::unique_ptr<JobStore> store_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  bool started_ = false;
  bool stopping_ = false;
  std::map<int64_t, StoredJob> active_;  // queued and running, by number: the queue's order
  std::map<int64_t, Subscription> subscriptions_;
  int64_t next_subscription_ = 1;
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_JOB_MANAGER_H_
