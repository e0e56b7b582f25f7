// What several kinds check when they resolve a spec.
#ifndef GRAFT_JOBS_CHECKS_H_
#define GRAFT_JOBS_CHECKS_H_

#include <string>

#include "absl/status/statusor.h"
#include "core/store/dataset_info.h"
#include "jobs/kind.h"

namespace graft {

// A data set that a job reads. NOT_FOUND also says which job is just making it.
absl::StatusOr<DatasetInfo> FindDataset(const ResolveContext& context, const std::string& name);

}  // namespace graft

#endif  // GRAFT_JOBS_CHECKS_H_
