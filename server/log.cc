#include "server/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/text.h"
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

// A value as it may stand in a line, whoever wrote it.
std::string Shown(absl::string_view value) {
  constexpr size_t kMaxValue = 256;
  constexpr size_t kMaxEscaped = 2 * kMaxValue;  // control characters grow fourfold
  const std::string printable = Printable(value, kMaxValue);
  return std::string(Clipped(printable, kMaxEscaped));
}

std::string Quoted(const std::string& shown) {
  if (shown.find_first_of(" \"=") == std::string::npos) {
    return shown;
  }
  return absl::StrCat("\"", absl::StrReplaceAll(shown, {{"\"", "\\\""}}), "\"");
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
      if (!value.empty()) {
        object[std::string(key)] = Shown(value);
      }
    }
    line = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    line = line.substr(1, line.size() - 2);  // the pattern has the braces, time and level
  } else {
    line = std::string(event);
    for (const auto& [key, value] : fields) {
      if (!value.empty()) {
        absl::StrAppend(&line, " ", key, "=", Quoted(Shown(value)));
      }
    }
  }
  spdlog::log(spd, "{}", line);
}

}  // namespace graft
