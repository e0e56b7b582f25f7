// The job log: jobs and their events in SQLite, durable once a call has returned. What lies in it is ours (columns and
// JSON documents, jobs/job.h), not the public messages.
//
// Damage is noticed. Each row carries a SHA-256 of its content: a row that doesn't match is shown as damaged and never
// fails a list. A seal beside the database (seal.h) says how far the log had come: an older state, which is what a lost
// write-ahead log leaves, doesn't open. A database whose structure is broken doesn't open either.
#ifndef GRAFT_SERVER_JOBS_JOB_LOG_H_
#define GRAFT_SERVER_JOBS_JOB_LOG_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/mutex.h"
#include "jobs/job.h"
#include "server/jobs/seal.h"

namespace graft {

struct LoggedEvent {
  JobEvent event;
  // The number that the attempt's worker gave it, from 1; 0: the server's own event.
  int64_t worker_sequence = 0;
};

struct JobFilter {
  std::vector<JobState> states = {};                // empty: all
  std::string kind = {}, dataset = {}, model = {};  // empty: all
  int64_t before = 0;                               // only numbers below; 0: all
  int limit = 50;
};

// Thread-safe. One connection writes, one reads: a reader never waits for a write to reach the disk.
class JobLog {
 public:
  // `folder`: the data folder, which holds jobs.sqlite and jobs.seal; both are made when neither is there, with numbers
  // from `first_number` on. DATA_LOSS: the database is damaged, or jobs are missing that were acknowledged; the message
  // says what to do. FAILED_PRECONDITION: written by another version.
  static absl::StatusOr<std::unique_ptr<JobLog>> Open(const std::filesystem::path& folder, int64_t first_number = 1);
  ~JobLog();

  // Gives the job its number and its first event, with its create time. The request_id must not be there yet.
  absl::Status Create(JobRecord* record);
  // Appends events; their sequences follow the job's last.
  absl::Status Append(int64_t number, absl::Span<const LoggedEvent> events);
  // The same, and stores the job's new state.
  absl::Status Change(const JobRecord& record, absl::Span<const LoggedEvent> events);
  // Empties the write-ahead log into the database, so that little depends on it, and writes a seal that is owed. To be
  // called when a job has ended; nothing is lost if it fails.
  absl::Status Checkpoint();
  // Writes the seal if that failed after a change.
  absl::Status Reseal();

  // A damaged row is a failed job with the error DATA_LOSS. NOT_FOUND.
  absl::StatusOr<JobRecord> Get(int64_t number);
  absl::StatusOr<std::optional<JobRecord>> FindRequest(const std::string& request_id);
  // Highest number first.
  absl::StatusOr<std::vector<JobRecord>> List(const JobFilter& filter);
  // Jobs that haven't ended, lowest number first, with what their events say of them (progress, epochs, sequences).
  absl::StatusOr<std::vector<JobRecord>> Unfinished();
  // The events after `after` up to `last`, at most `limit`, without a gap: in the place of one that is damaged stands a
  // warning that says so.
  absl::StatusOr<std::vector<JobEvent>> Events(int64_t number, int64_t after, int64_t last, int limit);
  // Highest version of the model that a job was given; 0: none.
  absl::StatusOr<int> NewestVersion(const std::string& model);

 private:
  struct Connection;
  JobLog(std::unique_ptr<Connection> writer, std::unique_ptr<Connection> reader, std::unique_ptr<Seal> seal);

  // Checks what is there against the seal.
  static absl::Status Verify(const std::filesystem::path& folder, Connection* db, const Seal& seal, LogCounts* counts);
  // Runs `fn` in a transaction. `new_jobs` < 0: no row of a job changes, so nothing is sealed.
  absl::Status Write(absl::string_view failpoint, int new_jobs, const std::function<void()>& fn)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  void SealCounts() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);

  Mutex writing_;
  const std::unique_ptr<Connection> writer_ ABSL_PT_GUARDED_BY(writing_);
  const std::unique_ptr<Seal> seal_ ABSL_PT_GUARDED_BY(writing_);
  LogCounts counts_ ABSL_GUARDED_BY(writing_);
  int64_t next_number_ ABSL_GUARDED_BY(writing_) = 1;
  bool seal_owed_ ABSL_GUARDED_BY(writing_) = false;

  Mutex reading_;
  const std::unique_ptr<Connection> reader_ ABSL_PT_GUARDED_BY(reading_);
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_JOB_LOG_H_
