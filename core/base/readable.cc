#include "core/base/readable.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace graft {

std::string Thousands(int64_t number) {
  std::string digits = absl::StrCat(number < 0 ? -number : number);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) {
    digits.insert(static_cast<size_t>(i), 1, ',');
  }
  return number < 0 ? absl::StrCat("-", digits) : digits;
}

std::string Bytes(int64_t bytes) {
  constexpr double kStep = 1000;
  auto value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* larger : {"kB", "MB", "GB", "TB"}) {
    if (value < kStep) {
      break;
    }
    value /= kStep;
    unit = larger;
  }
  return unit[0] == 'B' ? absl::StrFormat("%.0f %s", value, unit) : absl::StrFormat("%.1f %s", value, unit);
}

std::string Duration(double seconds) {
  if (!(seconds >= 0)) {
    return "?";
  }
  if (seconds < 10) {
    return absl::StrFormat("%.1fs", seconds);
  }
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) {
    return absl::StrFormat("%ds", whole);
  }
  if (whole < 3600) {
    return absl::StrFormat("%dm %02ds", whole / 60, whole % 60);
  }
  return absl::StrFormat("%dh %02dm", whole / 3600, whole / 60 % 60);
}

std::string Time(int64_t unix_seconds) {
  if (unix_seconds == 0) {
    return "-";
  }
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(unix_seconds), absl::UTCTimeZone());
}

}  // namespace graft
