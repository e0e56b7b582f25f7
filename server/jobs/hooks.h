// What becomes of a job's result: its kind says where it goes, the data folder puts it there.
#ifndef GRAFT_SERVER_JOBS_HOOKS_H_
#define GRAFT_SERVER_JOBS_HOOKS_H_

#include "core/store/data_folder.h"
#include "server/jobs/job_manager.h"

namespace graft {

// `data` outlives the job manager.
JobHooks HooksOf(DataFolder* data);

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_HOOKS_H_
