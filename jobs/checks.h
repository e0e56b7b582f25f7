// What several kinds check when they resolve a spec, and what resolving and running look up alike.
#ifndef GRAFT_JOBS_CHECKS_H_
#define GRAFT_JOBS_CHECKS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/variants.h"
#include "core/store/dataset_info.h"
#include "jobs/kind.h"

namespace graft {

// A data set that a job reads. NOT_FOUND also says which job is just making it.
absl::StatusOr<DatasetInfo> FindDataset(const ResolveContext& context, const std::string& name);

// The version of a model that a job reads. NOT_FOUND also says which job is just making it.
absl::StatusOr<int> ResolveModel(const ResolveContext& context, const ModelRef& ref);

// The variant whose head is trained on this trunk's features. NOT_FOUND: none is.
absl::StatusOr<const Variant*> FindFeaturesVariant(absl::string_view trunk);

// Whether the training part can be dealt to so many folds, kLeastFolds to kMostFolds: INVALID_ARGUMENT;
// FAILED_PRECONDITION: a class has fewer images than that.
absl::Status CheckFolds(absl::string_view field, int folds, const DatasetInfo& dataset);

}  // namespace graft

#endif  // GRAFT_JOBS_CHECKS_H_
