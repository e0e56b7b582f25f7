// What a job's record becomes by a change of its state and by its worker's events; nothing is stored here.
#ifndef GRAFT_SERVER_JOBS_RECORD_CHANGES_H_
#define GRAFT_SERVER_JOBS_RECORD_CHANGES_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "jobs/job.h"
#include "server/jobs/job_log.h"

namespace graft {

// Changes the record to `state`, whose transition is legal, and returns the event that says so. `now_ms`: since 1970,
// UTC. `error`: of kFailed.
JobEventBody EnterState(JobState state, int64_t now_ms, const absl::Status& error, JobRecord* record);

// Events of the worker, then own ones, numbered on from the record's last; the record takes from them what it shows.
std::vector<LoggedEvent> NumberEvents(int64_t now_ms, std::vector<JobEventBody> from_worker,
                                      std::vector<JobEventBody> own, JobRecord* record);

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_RECORD_CHANGES_H_
