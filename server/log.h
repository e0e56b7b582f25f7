// Structured logs: one line an event, key=value or JSON, on standard error.
#ifndef GRAFT_SERVER_LOG_H_
#define GRAFT_SERVER_LOG_H_

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace graft {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Once, before the first event. `level`: "debug", "info", "warning" or "error".
void ConfigureLog(const std::string& level, bool json);

// Log(LogLevel::kInfo, "rpc", {{"method", "GetJob"}, {"code", "OK"}}). Values are escaped and
// cut at 256 bytes (512 once escaped), so that nobody writes a second line, or a long one. Fields without a value are
// left out. Thread-safe.
void Log(LogLevel level, absl::string_view event,
         std::initializer_list<std::pair<absl::string_view, std::string>> fields);

}  // namespace graft

#endif  // GRAFT_SERVER_LOG_H_
