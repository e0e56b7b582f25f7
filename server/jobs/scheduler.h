// Which jobs there are that haven't ended, which is next, who may be queued beside whom, and whose worker has gone
// quiet. Decides, and does nothing: no disk, no process, no clock of its own.
#ifndef GRAFT_SERVER_JOBS_SCHEDULER_H_
#define GRAFT_SERVER_JOBS_SCHEDULER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "jobs/job.h"

namespace graft {

// "the data set 'pets'".
std::string Describe(const Resource& resource);

// How a running job's worker ended when it wasn't by a report.
struct WorkerEnd {
  absl::Status reason;
  // The job isn't to blame: it goes back to the queue.
  bool again = false;
};

// A job that hasn't ended. Times are those of a steady clock.
struct ActiveJob {
  JobRecord record;      // as the log has it
  absl::Duration heard;  // when its worker was last heard of
  // Of a worker that hasn't been heard of for a while: what it had used when it was last looked at, and when it was
  // last seen to have used more.
  std::optional<absl::Duration> processor_time;
  absl::Duration computed = -absl::InfiniteDuration();
  // The worker was told to end because it wasn't heard of.
  bool lost = false;
  // What the log has yet to take: it failed, or is about to.
  std::optional<Wish> wish_owed;
  std::optional<WorkerEnd> ended;         // of a running job
  std::optional<absl::Status> published;  // of a publishing one
  // Of a publishing job.
  bool publishing = false;  // at this moment, or about to be
  int publish_failures = 0;
  absl::Duration next_publish;

  Wish wish() const { return wish_owed.value_or(record.wish); }
};

// What becomes of a job that owes the log something.
struct Outcome {
  JobState state = JobState::kQueued;  // the same as before: only a wish is to be stored
  Wish wish = Wish::kNone;
  absl::Status error;
  JobLogLine line;    // before the change; empty: none
  bool loss = false;  // the job's worker got lost
};
bool Owes(const ActiveJob& job);
// `max_losses`: with so many, a job is given up.
Outcome Decide(const ActiveJob& job, int max_losses);

// Not thread-safe: the job manager's lock guards it.
class Scheduler {
 public:
  // Null: no such job, or it has ended.
  ActiveJob* Find(int64_t number);
  const ActiveJob* Find(int64_t number) const;
  void Add(ActiveJob job);
  void Remove(int64_t number) { jobs_.erase(number); }
  // By number, which is the queue's order.
  std::map<int64_t, ActiveJob>& jobs() { return jobs_; }
  const std::map<int64_t, ActiveJob>& jobs() const { return jobs_; }

  int Count(JobState state) const;
  // 1: the next to start; 0: not queued.
  int QueuePosition(int64_t number) const;
  // The first queued job, if fewer than `max_running` have a worker.
  std::optional<int64_t> Next(int max_running) const;

  // The job that reads or makes the resource, or only that makes it; empty: none.
  std::string UserOf(const Resource& resource) const;
  std::string MakerOf(const Resource& resource) const;

  // Whether the job may be queued now. ALREADY_EXISTS: another makes the same. FAILED_PRECONDITION: an upload is
  // another's, or something is being deleted.
  absl::Status Admit(const ResolvedJob& job) const;
  // A submission that was admitted and isn't in the log yet counts as a user of its resources.
  void BeginSubmission(const ResolvedJob& job) { submission_ = job; }
  void EndSubmission() { submission_.reset(); }

  // From Reserve to Release, nobody may use or make the resource. FAILED_PRECONDITION: somebody does.
  absl::Status Reserve(const Resource& resource);
  void Release(const Resource& resource);

  // After a time in which nobody could be heard: all are taken to have been heard at `now`.
  void Forgive(absl::Duration now);
  // Running jobs whose worker hasn't been heard of for longer than `timeout`.
  std::vector<int64_t> Quiet(absl::Duration now, absl::Duration timeout) const;
  // The quiet ones, but for those that have computed meanwhile: they may be quiet for `busy_timeout`, unless they were
  // told to end.
  std::vector<int64_t> Unresponsive(absl::Duration now, absl::Duration timeout, absl::Duration busy_timeout) const;

 private:
  std::map<int64_t, ActiveJob> jobs_;
  std::optional<ResolvedJob> submission_;
  std::vector<Resource> reserved_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_SCHEDULER_H_
