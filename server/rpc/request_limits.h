// What holds for every request, whichever RPC it is for.
#ifndef GRAFT_SERVER_RPC_REQUEST_LIMITS_H_
#define GRAFT_SERVER_RPC_REQUEST_LIMITS_H_

#include <cstddef>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace graft {

// The longest that a string of a request may be: a path's length. Names, ids and tokens are far shorter.
constexpr size_t kMaxStringBytes = 4096;

// INVALID_ARGUMENT names the first string field, at any depth, that has more than `max_bytes`:
// "spec.split.folder: ...". Fields of bytes are as long as their handler lets them be.
absl::Status CheckStrings(const google::protobuf::Message& request, size_t max_bytes = kMaxStringBytes);

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_REQUEST_LIMITS_H_
