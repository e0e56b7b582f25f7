#include "server/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

bool json_lines = false;

spdlog::level::level_enum Level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string Quoted(const std::string& value) {
  if (!value.empty() && value.find_first_of(" \"=\\\n\r\t\x1b") == std::string::npos) {
    return absl::Utf8SafeCEscape(value);
  }
  return absl::StrCat("\"", absl::Utf8SafeCEscape(value), "\"");
}

}  // namespace

void ConfigureLog(const std::string& level, bool json) {
  json_lines = json;
  auto logger = spdlog::stderr_logger_mt("graftd");
  spdlog::set_default_logger(logger);
  spdlog::set_level(spdlog::level::from_str(level));
  spdlog::flush_on(spdlog::level::info);
  spdlog::set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})" : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                      spdlog::pattern_time_type::utc);
}

void Log(LogLevel level, absl::string_view event,
         std::initializer_list<std::pair<absl::string_view, std::string>> fields) {
  const spdlog::level::level_enum spd = Level(level);
  if (!spdlog::should_log(spd)) {
    return;
  }
  std::string line;
  if (json_lines) {
    nlohmann::ordered_json object;
    object["event"] = std::string(event);
    for (const auto& [key, value] : fields) {
      object[std::string(key)] = value;
    }
    line = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    line = line.substr(1, line.size() - 2);  // the pattern has the braces, time and level
  } else {
    line = std::string(event);
    for (const auto& [key, value] : fields) {
      absl::StrAppend(&line, " ", key, "=", Quoted(value));
    }
  }
  spdlog::log(spd, "{}", line);
}

}  // namespace graft
