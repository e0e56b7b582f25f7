// absl::Status helpers: early return, and exceptions of outside libraries turned into a Status at core's edge.
#ifndef GRAFT_CORE_BASE_STATUS_H_
#define GRAFT_CORE_BASE_STATUS_H_

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#define GRAFT_RETURN_IF_ERROR(expr)                               \
  do {                                                            \
    if (absl::Status graft_status = (expr); !graft_status.ok()) { \
      return graft_status;                                        \
    }                                                             \
  } while (false)

#define GRAFT_CONCAT_INNER(a, b) a##b
#define GRAFT_CONCAT(a, b) GRAFT_CONCAT_INNER(a, b)
// GRAFT_ASSIGN_OR_RETURN(auto x, F()): x, or return F's error.
#define GRAFT_ASSIGN_OR_RETURN(lhs, expr) \
  GRAFT_ASSIGN_OR_RETURN_INNER(GRAFT_CONCAT(graft_statusor_, __LINE__), lhs, expr)
#define GRAFT_ASSIGN_OR_RETURN_INNER(statusor, lhs, expr) \
  auto statusor = (expr);                                 \
  if (!statusor.ok()) {                                   \
    return std::move(statusor).status();                  \
  }                                                       \
  lhs = *std::move(statusor)

namespace graft {

// INVALID_ARGUMENT that names the field, the value found and the remedy: "epochs: 0 is out of range; use 1 to 10000".
absl::Status InvalidField(absl::string_view field, absl::string_view problem);

// The same code, with `context` and ": " in front of the message. OK stays OK.
absl::Status Annotate(absl::Status status, absl::string_view context);

// The Status for an exception: bad_alloc is RESOURCE_EXHAUSTED, the rest INTERNAL with the first line of what()
// (LibTorch appends a backtrace of kilobytes).
absl::Status FromException(const std::exception& error, absl::string_view context);

// Runs `fn`, which returns a Status or StatusOr, and turns what LibTorch, OpenCV or SQLiteCpp throw into a Status.
template <typename Fn>
auto CatchExceptions(absl::string_view context, Fn&& fn) -> decltype(fn()) {
  try {
    return std::forward<Fn>(fn)();
  } catch (const std::exception& error) {
    return FromException(error, context);
  }
}

}  // namespace graft

#endif  // GRAFT_CORE_BASE_STATUS_H_
