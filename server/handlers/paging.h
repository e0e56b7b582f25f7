// Pages of lists.
#ifndef GRAFT_SERVER_HANDLERS_PAGING_H_
#define GRAFT_SERVER_HANDLERS_PAGING_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace graft {

// Of List calls: 0 is 50, more than 1,000 is 1,000; INVALID_ARGUMENT below 0.
absl::StatusOr<int> PageSize(int requested);

// A page token says where the next page starts; 0 for the empty one. INVALID_ARGUMENT when it isn't one that we gave
// out.
absl::StatusOr<int64_t> PageToken(const std::string& token);

}  // namespace graft

#endif  // GRAFT_SERVER_HANDLERS_PAGING_H_
