// What a worker's report says.
#ifndef GRAFT_SERVER_JOBS_REPORT_H_
#define GRAFT_SERVER_JOBS_REPORT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "graft/v1/worker.pb.h"
#include "jobs/job.h"

namespace graft {

// INVALID_ARGUMENT: one can't be read.
absl::StatusOr<std::vector<JobEventBody>> ParseEvents(const v1::ReportRequest& request);

// What a report says that the log doesn't have yet.
struct News {
  std::vector<JobEventBody> events;
  std::optional<JobStateChange> end;  // nothing counts after it
};

// `first_sequence`: the worker's number of events[0]. When events are missing before it, a line that says so takes
// their place, and record->worker_sequence is moved up to it.
News TakeNews(int64_t first_sequence, std::vector<JobEventBody> events, JobRecord* record);

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_REPORT_H_
