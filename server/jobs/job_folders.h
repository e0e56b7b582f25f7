// What the job manager does with folders: those of attempts, and those of what jobs need.
#ifndef GRAFT_SERVER_JOBS_JOB_FOLDERS_H_
#define GRAFT_SERVER_JOBS_JOB_FOLDERS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "core/store/data_folder.h"
#include "jobs/job.h"

namespace graft {

// After the highest number whose job left a folder behind: a job log that was moved away doesn't make a new job pass
// for an old one.
int64_t FirstJobNumber(const DataFolder& data);

// An empty staging folder for the record's attempt.
absl::Status MakeStaging(const DataFolder& data, const JobRecord& record);
// What can't be removed now is swept at the next start.
void RemoveStaging(const DataFolder& data, int64_t number, int attempt);
// Removes the staging of every attempt that isn't needed, and the checkpoints of every job that has ended.
void SweepStaging(const DataFolder& data, const std::function<bool(int64_t number, int attempt)>& needed,
                  const std::function<bool(int64_t number)>& ended);
// What the job's attempts left for each other.
void RemoveCheckpoints(const DataFolder& data, int64_t number);

// Whether what the job reads is there, and the place of the data set that it makes is free. NOT_FOUND, ALREADY_EXISTS.
absl::Status CheckPresence(const DataFolder& data, const ResolvedJob& job);

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_JOB_FOLDERS_H_
