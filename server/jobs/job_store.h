// Jobs and their events in SQLite: durable once a call has returned.
#ifndef GRAFT_SERVER_JOBS_JOB_STORE_H_
#define GRAFT_SERVER_JOBS_JOB_STORE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "graft/v1/jobs.pb.h"

namespace graft {

struct StoredJob {
  int64_t number = 0;  // Job.id is "job-" and this
  v1::Job job;
  std::string request_id;
  // SHA-256 of the spec as it was submitted, before defaults were filled in.
  std::string submitted_sha256;
  // The highest sequence of the current attempt's worker that is in the log.
  int64_t worker_sequence = 0;
  // What a training job makes; 0 for others.
  int model_version = 0;
};

struct JobFilter {
  std::vector<v1::JobState> states;
  std::string kind, dataset, model;  // empty: all
  int64_t before = 0;                // only numbers below; 0: all
  int limit = 50;
};

// Thread-safe: one connection, one call at a time.
class JobStore {
 public:
  // Creates the file when it isn't there. FAILED_PRECONDITION: written by a newer version; DATA_LOSS: not a database of
  // ours.
  static absl::StatusOr<std::unique_ptr<JobStore>> Open(const std::filesystem::path& path);
  ~JobStore();

  // Sets number, id and the first event's fields. The request_id must not be there yet.
  absl::Status Create(StoredJob* job, v1::JobEvent* first);
  // Stores the job and appends events to its log, in one transaction. Fills in each event's job, sequence and time;
  // raises job->last_sequence.
  absl::Status Update(StoredJob* job, std::vector<v1::JobEvent>* events, int64_t now_ms);

  // NOT_FOUND.
  absl::StatusOr<StoredJob> Get(int64_t number);
  absl::StatusOr<std::optional<StoredJob>> FindRequest(const std::string& request_id);
  // Highest number first.
  absl::StatusOr<std::vector<StoredJob>> List(const JobFilter& filter);
  // Events with a sequence above `after`, at most `limit`.
  absl::StatusOr<std::vector<v1::JobEvent>> Events(int64_t number, int64_t after, int limit);
  // The next version of a model, never given out before: above `at_least` and every earlier one.
  absl::StatusOr<int> NextModelVersion(const std::string& model, int at_least);

 private:
  struct Impl;
  explicit JobStore(std::unique_ptr<Impl> impl);

  std::mutex mutex_;
  std::unique_ptr<Impl> impl_;  // guarded by mutex_
};

// 12 of "job-12"; INVALID_ARGUMENT.
absl::StatusOr<int64_t> ParseJobId(const std::string& id);

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_JOB_STORE_H_
