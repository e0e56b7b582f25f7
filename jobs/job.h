// What a job is, to server and worker alike: its state, what it asks for, what it uses and makes, its events. Plain
// structs with JSON documents of their own, which is what lies on disk and travels between graftd and graft-worker; the
// public messages are made of them at the edge (jobs/to_proto.h), so that neither binds the other.
#ifndef GRAFT_JOBS_JOB_H_
#define GRAFT_JOBS_JOB_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/json.h"
#include "core/model/artifact.h"

namespace graft {

// The edges are in server/jobs/transitions.h.
enum class JobState {
  kQueued,
  kRunning,
  kPublishing,  // the worker is done; its result is durable and is being put in its place. Callers see it as running.
  kSucceeded,
  kFailed,
  kCancelled,
  kPaused,
};
absl::string_view JobStateName(JobState state);  // "queued"
absl::StatusOr<JobState> JobStateFromName(absl::string_view name);
bool IsTerminal(JobState state);

// What was asked of a job that hasn't ended.
enum class Wish {
  kNone,      // to go on
  kKeepBest,  // to train no further and end with the best weights so far
  kPause,     // to stop until it is resumed
  kRestart,   // resumed before it had come to its pause: its worker ends, and it is queued again
  kCancel,
};
absl::string_view WishName(Wish wish);  // "keep_best"
absl::StatusOr<Wish> WishFromName(absl::string_view name);
// Whether the worker is to end without a result.
bool StopsWorker(Wish wish);

// Something in the data folder that a job needs or makes.
struct Resource {
  enum class Type { kDataset, kModel, kUpload };
  Type type = Type::kDataset;
  std::string name;
  int version = 0;  // of a model; 0: all of them, or the one that the job will be given

  // Whether what is done to one is felt by the other.
  bool Overlaps(const Resource& other) const {
    return type == other.type && name == other.name && (version == 0 || other.version == 0 || version == other.version);
  }
};

// A job that has been checked, with every default filled in.
struct ResolvedJob {
  std::string kind;     // JobKind::name
  nlohmann::json spec;  // the kind's own document
  // What lists can be filtered by; empty: none.
  std::string dataset;
  std::string model;
  // Nobody may delete these while the job is queued or running.
  std::vector<Resource> reads;
  // No two jobs make the same. A model's version is given out when the job is submitted.
  std::optional<Resource> makes;
};

struct StepMetrics {
  int step = 0;  // from 1, within the epoch
  double loss = 0;
  double accuracy = 0;
};

struct JobProgress {
  std::string phase;
  int64_t done = 0;
  int64_t total = 0;  // 0: not known
  std::string unit;
  double images_per_second = 0;
  std::optional<double> eta_seconds;
  int epoch = 0;
  int epochs = 0;
  std::vector<StepMetrics> steps;  // each since the last event
};

struct JobLogLine {
  std::string text;
  bool warning = false;
};

struct JobStateChange {
  JobState state = JobState::kQueued;
  absl::Status error;     // of kFailed
  nlohmann::json result;  // of kSucceeded: the kind's own document; else null
};

using JobEventBody = std::variant<JobStateChange, JobProgress, EpochMetrics, JobLogLine>;

struct JobEvent {
  int64_t sequence = 0;  // from 1, without a gap, for each job
  int64_t time_ms = 0;   // since 1970, UTC
  int attempt = 0;
  JobEventBody body;
};

// {"progress": {...}}. NaN and infinities become null in its text, and null is read as NaN.
nlohmann::json ToJson(const JobEventBody& body);
// DATA_LOSS.
absl::StatusOr<JobEventBody> JobEventBodyFromJson(const nlohmann::json& json);

// A document as text and back, in the log and between server and worker. What isn't UTF-8 is replaced, never thrown at.
std::string DocumentText(const nlohmann::json& document);
// DATA_LOSS: not JSON, or nested deeper than any document of ours.
absl::StatusOr<nlohmann::json> ParseDocument(absl::string_view text);

// A job as the log has it.
struct JobRecord {
  int64_t number = 0;  // rises; the queue's order
  ResolvedJob job;
  int model_version = 0;  // that the job makes; 0: none
  std::string request_id;
  std::string submitted_sha256;  // of the spec as it was submitted, before defaults were filled in
  JobState state = JobState::kQueued;
  absl::Status error;
  nlohmann::json result;
  int64_t create_time_ms = 0;
  int64_t start_time_ms = 0;  // 0: not started
  int64_t end_time_ms = 0;    // 0: not ended
  int attempt = 0;            // rises each time that the job starts
  int losses = 0;             // how often its worker got lost since an epoch ended: died, silent, or with its server
  int epochs = 0;             // the highest that an event tells of
  std::string incarnation;    // of the current attempt's worker, by chance: no other ever passes for it
  Wish wish = Wish::kNone;
  int64_t last_sequence = 0;            // of the newest event
  int64_t worker_sequence = 0;          // highest of the current attempt's worker that is in the log
  std::optional<JobProgress> progress;  // the last one, without its steps
  int queue_position = 0;               // 1: the next to start; 0: not queued

  std::string id() const;  // "job-12"
};

// What the log's row holds: all of the above but progress, worker_sequence and queue_position, which it has from events
// and from other rows.
nlohmann::json ToJson(const JobRecord& record);
// DATA_LOSS.
absl::StatusOr<JobRecord> JobRecordFromJson(const nlohmann::json& json);

// 12 of "job-12"; INVALID_ARGUMENT.
absl::StatusOr<int64_t> ParseJobId(absl::string_view id);

}  // namespace graft

#endif  // GRAFT_JOBS_JOB_H_
