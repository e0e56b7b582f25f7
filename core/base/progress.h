// How long work tells its caller how far it is, and learns that it should stop.
#ifndef GRAFT_CORE_BASE_PROGRESS_H_
#define GRAFT_CORE_BASE_PROGRESS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace graft {

struct ProgressUpdate {
  absl::string_view phase;  // "scan", "copy", "decode", "features", ...
  int64_t done = 0;
  int64_t total = 0;  // 0: not known
  absl::string_view unit;
};

// Called often; must be cheap. Anything but OK (CANCELLED, for instance) ends the work, which then returns it.
using ProgressFn = std::function<absl::Status(const ProgressUpdate&)>;

}  // namespace graft

#endif  // GRAFT_CORE_BASE_PROGRESS_H_
