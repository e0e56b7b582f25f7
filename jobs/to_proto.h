// Jobs and events as public messages.
#ifndef GRAFT_JOBS_TO_PROTO_H_
#define GRAFT_JOBS_TO_PROTO_H_

#include <string>

#include "graft/v1/jobs.pb.h"
#include "jobs/job.h"

namespace graft {

v1::JobState ToProto(JobState state);  // kPublishing is RUNNING
// A job whose documents can't be read any more is shown without them and with an error that says so: one bad row never
// fails a list.
v1::Job ToProto(const JobRecord& record);
v1::JobEvent ToProto(const std::string& job_id, const std::string& kind, const JobEvent& event);

}  // namespace graft

#endif  // GRAFT_JOBS_TO_PROTO_H_
