// Jobs in words. A kind of job that nothing here knows is described by its fields, so that a new one needs no change.
#ifndef GRAFT_CLIENT_JOB_TEXT_H_
#define GRAFT_CLIENT_JOB_TEXT_H_

#include <string>
#include <vector>

#include "graft/v1/jobs.pb.h"

namespace graft {

// Every kind of job, by its field's name in v1.JobSpec: "train".
std::vector<std::string> JobKinds();

// The kind of a spec; "?" for one that only a newer graft knows.
std::string KindText(const v1::JobSpec& spec);
// What a job works on: its model or trunk, and its data set ("pets@2 on more-pets").
std::string SubjectText(const v1::JobSpec& spec);
// "running", "queued (2 in line)", "stopping".
std::string StateText(const v1::Job& job);
// What came of a job, in a line.
std::string ResultText(const v1::JobResult& result);

// The two above of one kind's own message (v1.TrainSpec, v1.TrainResult).
std::string SpecSubject(const google::protobuf::Message& spec);
std::string KindResultText(const google::protobuf::Message& result);

}  // namespace graft

#endif  // GRAFT_CLIENT_JOB_TEXT_H_
