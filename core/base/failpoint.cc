#include "core/base/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"

namespace graft {
namespace {

struct Point {
  std::string action;
  int at = 0;  // 0: each time
  int reached = 0;
};
using Points = std::map<std::string, Point, std::less<>>;

absl::StatusOr<Points> Parse(absl::string_view text) {
  Points points;
  for (const absl::string_view entry : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::pair<absl::string_view, absl::string_view> name_action = absl::StrSplit(entry, absl::MaxSplits('=', 1));
    const std::pair<absl::string_view, absl::string_view> action_at =
        absl::StrSplit(name_action.second, absl::MaxSplits(':', 1));
    Point point{std::string(action_at.first)};
    const bool known = point.action == "kill" || point.action == "error" || point.action == "delay";
    if (!known || (!action_at.second.empty() && !absl::SimpleAtoi(action_at.second, &point.at))) {
      return InvalidField("GRAFT_FAILPOINTS", absl::StrCat("'", entry, "' isn't NAME=kill|error|delay[:N]"));
    }
    points[std::string(name_action.first)] = std::move(point);
  }
  return points;
}

struct State {
  std::atomic<bool> on{false};
  std::mutex mutex;
  Points points;  // guarded by mutex

  State() {
    if (const char* text = std::getenv("GRAFT_FAILPOINTS"); text != nullptr) {
      absl::StatusOr<Points> parsed = Parse(text);
      if (!parsed.ok()) {  // a test that misspells one must not pass
        std::fprintf(stderr, "%s\n", std::string(parsed.status().message()).c_str());
        std::abort();
      }
      points = *std::move(parsed);
      on = !points.empty();
    }
  }
};

State& TheState() {
  static auto* const state = new State;
  return *state;
}

}  // namespace

absl::Status Failpoint(absl::string_view name) {
  State& state = TheState();
  if (!state.on.load(std::memory_order_relaxed)) {
    return absl::OkStatus();
  }
  std::string action;
  {
    const std::lock_guard lock(state.mutex);
    const auto found = state.points.find(name);
    if (found == state.points.end()) {
      return absl::OkStatus();
    }
    Point& point = found->second;
    ++point.reached;
    if (point.at != 0 && point.reached != point.at) {
      return absl::OkStatus();
    }
    action = point.action;
  }
  if (action == "kill") {
    kill(getpid(), SIGKILL);
  }
  if (action == "delay") {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat("failpoint ", name, ": no space left on device"));
}

absl::Status SetFailpoints(absl::string_view text) {
  absl::StatusOr<Points> parsed = Parse(text);
  GRAFT_RETURN_IF_ERROR(parsed.status());
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  state.points = *std::move(parsed);
  state.on = !state.points.empty();
  return absl::OkStatus();
}

}  // namespace graft
