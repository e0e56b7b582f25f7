#include "server/jobs/record_changes.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "core/base/text.h"

namespace graft {
namespace {

constexpr size_t kMaxErrorBytes = 4096;

std::string NewIncarnation() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

}  // namespace

JobEventBody EnterState(JobState state, int64_t now_ms, const absl::Status& error, JobRecord* record) {
  record->state = state;
  record->progress.reset();
  if (state == JobState::kRunning) {
    ++record->attempt;
    record->incarnation = NewIncarnation();
    record->worker_sequence = 0;
    record->start_time_ms = now_ms;
  }
  if (state == JobState::kQueued || state == JobState::kPaused) {
    record->start_time_ms = 0;
  }
  if (IsTerminal(state)) {
    record->end_time_ms = now_ms;
    record->wish = Wish::kNone;
  }
  if (state == JobState::kFailed) {
    record->error = absl::Status(error.code(), Clipped(error.message(), kMaxErrorBytes));
    record->result = nullptr;
  }
  return JobStateChange{state, record->error, state == JobState::kSucceeded ? record->result : nullptr};
}

std::vector<LoggedEvent> NumberEvents(int64_t now_ms, std::vector<JobEventBody> from_worker,
                                      std::vector<JobEventBody> own, JobRecord* record) {
  std::vector<LoggedEvent> events;
  const auto add = [&](JobEventBody body, int64_t worker_sequence) {
    LoggedEvent logged;
    logged.event.sequence = ++record->last_sequence;
    logged.event.time_ms = now_ms;
    logged.event.attempt = record->attempt;
    logged.event.body = std::move(body);
    logged.worker_sequence = worker_sequence;
    events.push_back(std::move(logged));
  };
  for (JobEventBody& body : from_worker) {
    if (const auto* epoch = std::get_if<EpochMetrics>(&body); epoch != nullptr) {
      record->epochs = std::max(record->epochs, epoch->epoch);
      record->losses = 0;  // it gets somewhere
    }
    if (const auto* progress = std::get_if<JobProgress>(&body);
        progress != nullptr && record->state == JobState::kRunning) {
      record->progress = *progress;
      record->progress->steps.clear();
    }
    add(std::move(body), ++record->worker_sequence);
  }
  for (JobEventBody& body : own) {
    add(std::move(body), 0);
  }
  return events;
}

}  // namespace graft
