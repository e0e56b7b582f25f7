// Queues jobs, starts their workers, keeps their event logs and tells who watches.
//
// Three parts do the work: transitions.h says what may follow what, job_log.h keeps it, scheduler.h decides what is
// next. This class brings them together, and holds to four rules:
//   - Two locks. `writing_` is held over a write to the log, so that changes come one after the other; `mutex_` guards
//     what is in memory and is held for moments. Readers take only `mutex_`: no disk and no process keeps them waiting.
//   - Memory follows the log. A change is shown once it is durable. One that the log didn't take (a full disk) is owed,
//     and tried again at each tick.
//   - Slow work (publishing, deleting, checkpoints) is a chore of a thread of its own, under no lock.
//   - A worker's report counts if it carries the current attempt's incarnation, whichever server started the worker.
#ifndef GRAFT_SERVER_JOBS_JOB_MANAGER_H_
#define GRAFT_SERVER_JOBS_JOB_MANAGER_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"
#include "core/store/data_folder.h"
#include "graft/v1/worker.pb.h"
#include "jobs/job.h"
#include "jobs/run.h"
#include "server/jobs/chores.h"
#include "server/jobs/disk_reserve.h"
#include "server/jobs/executors/executor.h"
#include "server/jobs/job_log.h"
#include "server/jobs/scheduler.h"
#include "server/jobs/subscriptions.h"

namespace graft {

struct JobManagerOptions {
  const DataFolder* data = nullptr;
  WorkerSettings settings;
  int max_running = 1;
  int max_queued = 1000;
  // A job whose worker got lost this often (with its server, or silent) has failed.
  int max_losses = 3;
  // A worker that isn't heard of for this long is ended and its job started again.
  absl::Duration worker_timeout = absl::Seconds(60);
  // Unless it is seen to compute, for it may be starved by what else the machine does. Then it has so long.
  absl::Duration busy_worker_timeout = absl::Minutes(15);
  // How often owed work is tried again and workers are looked after.
  absl::Duration tick = absl::Seconds(1);
  // Submit refuses while the data folder has less.
  int64_t min_free_bytes = 16 << 20;
  // Kept in the data folder for the ends of jobs when the disk is full.
  int64_t reserve_bytes = 8 << 20;
  // Ticks and chores on threads of their own; else Tick() does both, which is for tests.
  bool threads = true;
  // Milliseconds since 1970; time that never goes back; free space. A test brings its own.
  std::function<int64_t()> now_ms;
  std::function<absl::Duration()> steady;
  std::function<absl::StatusOr<int64_t>(const std::filesystem::path&)> free_bytes = &FreeBytes;
};

// What is done with a job's result; called on the thread of chores, under no lock.
struct JobHooks {
  // Puts what the worker left in `staging` in its place; doing it again for the same job must be OK and change nothing.
  // ALREADY_EXISTS, NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION, DATA_LOSS and UNIMPLEMENTED fail the job; any
  // other error is taken to pass, and tried again until it does.
  std::function<absl::Status(const JobRecord& record, const std::filesystem::path& staging)> publish;
  // The job has succeeded, durably: what it has used up may go. Called again for the newest jobs when a server starts,
  // for a crash may have come in between.
  std::function<void(const JobRecord& record)> published = [](const JobRecord&) {};
};

// Thread-safe. Submit, Cancel and reports write to disk, so no gRPC thread makes them; the others answer from memory
// and by reads that wait for no write.
class JobManager {
 public:
  // DATA_LOSS: see JobLog::Open. `options.data`, `executor` outlive the manager.
  static absl::StatusOr<std::unique_ptr<JobManager>> Open(JobManagerOptions options, Executor* executor,
                                                          JobHooks hooks);
  // Shutdown must have been called.
  ~JobManager();

  // Finds the workers of an earlier server, finishes what it was publishing, removes what it left behind, and starts
  // jobs from now on.
  void Start();
  // Stops the workers; their jobs are queued again and run when the server is back.
  void Shutdown();
  // What is due by now. For tests; with options.threads it runs by itself.
  void Tick();

  // The job of this request_id when there is one: with the same spec. ALREADY_EXISTS: with another. Nullopt: none.
  absl::StatusOr<std::optional<JobRecord>> FindRequest(const std::string& request_id,
                                                       const std::string& submitted_sha256);
  // Queues `job`, durably. `submitted_sha256`: of the spec before its defaults were filled in. `newest_version`: the
  // newest on disk of the model that the job makes. Looks again whether what the job reads is there, for it may have
  // been deleted since the job was resolved. UNAVAILABLE, RESOURCE_EXHAUSTED, NOT_FOUND, ALREADY_EXISTS,
  // FAILED_PRECONDITION.
  absl::StatusOr<JobRecord> Submit(const std::string& request_id, const std::string& submitted_sha256, ResolvedJob job,
                                   int newest_version);
  // NOT_FOUND.
  absl::StatusOr<JobRecord> Get(const std::string& id);
  // kRunning stands for kPublishing too.
  absl::StatusOr<std::vector<JobRecord>> List(JobFilter filter);
  // A running job ends once its worker has. When the log can't be written, the cancel is kept in memory and stored as
  // soon as it can be. FAILED_PRECONDITION: the job has ended, or is being published.
  absl::StatusOr<JobRecord> Cancel(const std::string& id);
  // A training trains no further and succeeds with the best weights so far. FAILED_PRECONDITION: the job has ended, is
  // being published or cancelled, or no epoch has ended.
  absl::StatusOr<JobRecord> KeepBest(const std::string& id);
  // Stops the job until Resume; a running one once its worker has ended. FAILED_PRECONDITION: the job has ended, is
  // being published or cancelled.
  absl::StatusOr<JobRecord> Pause(const std::string& id);
  absl::StatusOr<JobRecord> Resume(const std::string& id);
  int running() const;  // publishing ones too
  int queued() const;
  int paused() const;
  int max_running() const { return options_.max_running; }

  // The job that hasn't ended and reads or makes the resource, or only that makes it; empty: none.
  std::string UserOf(const Resource& resource) const;
  std::string MakerOf(const Resource& resource) const;
  bool InUse(const Resource& resource) const { return !UserOf(resource).empty(); }
  // Runs `fn` while no job uses or makes the resource and none can be queued that would. Holds no lock meanwhile.
  // FAILED_PRECONDITION: a job does; else what `fn` returns.
  absl::Status WhileUnused(const Resource& resource, const std::function<absl::Status()>& fn);

  // The next events after `after`. `ended`: the job is terminal and no event follows these. OUT_OF_RANGE.
  struct EventPage {
    std::vector<JobEvent> events;
    bool ended = false;
  };
  absl::StatusOr<EventPage> Events(const std::string& id, int64_t after);
  // Calls `notify` after each new event of the job, under no lock; it must be quick and must not unsubscribe.
  // NOT_FOUND.
  absl::StatusOr<int64_t> Subscribe(const std::string& id, std::function<void()> notify);
  // `notify` isn't called any more once this has returned.
  void Unsubscribe(int64_t subscription) { subscriptions_.Remove(subscription); }

  // For workers.
  absl::StatusOr<v1::Assignment> FetchAssignment(const v1::FetchAssignmentRequest& request);
  absl::StatusOr<v1::ReportResponse> Report(const v1::ReportRequest& request);

 private:
  JobManager(JobManagerOptions options, Executor* executor, JobHooks hooks, std::unique_ptr<JobLog> log);

  WorkerLaunch Launch(const JobRecord& record) const;
  Executor::OnExit OnExit(const JobRecord& record);
  void OnWorkerExit(int64_t number, int attempt, const absl::Status& exit);

  // Makes a wish the job's, as far as it may be: in memory at once, in the log as soon as that can be. Whoever is to
  // work on it is told.
  absl::StatusOr<JobRecord> Ask(const std::string& id, Wish wish);
  // Stores the record's new state and appends events to its log (`from_worker`, numbered on, then `own`), gives up the
  // reserve if that takes it, then puts the record in memory and tells who watches once `writing_` is released: the
  // caller calls subscriptions_.Notify.
  absl::Status Store(JobRecord record, std::vector<JobEventBody> from_worker, std::vector<JobEventBody> own)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Appends only.
  absl::Status AppendEvents(JobRecord record, std::vector<JobEventBody> from_worker)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Runs a write and, when the disk kept it for long, forgives workers that couldn't be heard meanwhile.
  absl::Status Timed(const std::function<absl::Status()>& write) ABSL_LOCKS_EXCLUDED(mutex_);

  // What a report is answered without the log: it is a heartbeat, or isn't of the current attempt. Else nullopt, and
  // the job as it is, with its wish.
  std::optional<v1::ReportResponse> Answer(const v1::ReportRequest& request, JobRecord* record)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The worker's last report: `before` are the events in it that precede the end.
  absl::Status StoreEnd(JobRecord record, std::vector<JobEventBody> before, JobStateChange end)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_) ABSL_LOCKS_EXCLUDED(mutex_);

  // Stores what the job owes the log; OK when it owes nothing.
  absl::Status Settle(int64_t number) ABSL_LOCKS_EXCLUDED(writing_, mutex_);
  // Starts queued jobs while there is room.
  void StartNext() ABSL_LOCKS_EXCLUDED(writing_, mutex_);
  // Whether Shutdown came while the job's worker was being started, and so can't have stopped it; queues the job again.
  bool StoppedMeanwhile(const JobRecord& record) ABSL_LOCKS_EXCLUDED(mutex_);

  // Looks whether workers that aren't heard of compute.
  void LookAfterQuietWorkers() ABSL_LOCKS_EXCLUDED(mutex_);
  void PublishNow(int64_t number) ABSL_LOCKS_EXCLUDED(writing_, mutex_);
  void RunTicks();

  // Removes what an attempt's worker left behind, unless it is at work or its result is being published.
  void CleanUp(int64_t number, int attempt) ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasEnded(int64_t number) const ABSL_LOCKS_EXCLUDED(mutex_);
  bool NeedsStaging(int64_t number, int attempt) const ABSL_LOCKS_EXCLUDED(mutex_);
  JobRecord View(const ActiveJob& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<JobRecord> ViewActive(int64_t number) const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<JobRecord> GetNumber(int64_t number);
  // The job, if the request comes from its current attempt's worker.
  ActiveJob* Current(const std::string& job_id, int attempt, const std::string& incarnation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const JobManagerOptions options_;
  Executor* const executor_;
  const JobHooks hooks_;
  const std::unique_ptr<JobLog> log_;
  Subscriptions subscriptions_;

  Mutex writing_ ABSL_ACQUIRED_BEFORE(mutex_);
  DiskReserve reserve_ ABSL_GUARDED_BY(writing_);
  bool store_fails_ ABSL_GUARDED_BY(writing_) = false;

  mutable Mutex mutex_;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Scheduler scheduler_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Duration> last_tick_ ABSL_GUARDED_BY(mutex_);
  // Workers that have reported their end and should be gone by then.
  std::map<std::pair<int64_t, int>, absl::Duration> leaving_ ABSL_GUARDED_BY(mutex_);

  Chores chores_;
  std::thread ticker_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_JOB_MANAGER_H_
