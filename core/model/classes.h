// The classes of a model and of a data set that it meets.
#ifndef GRAFT_CORE_MODEL_CLASSES_H_
#define GRAFT_CORE_MODEL_CLASSES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace graft {

// OK when both, sorted, are the same. INVALID_ARGUMENT of field `dataset` names both, cut where they are many, and a
// class that only one of them has.
absl::Status CheckSameClasses(const std::vector<std::string>& dataset, const std::vector<std::string>& model);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_CLASSES_H_
