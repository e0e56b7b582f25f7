#include "server/jobs/report.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {

absl::StatusOr<std::vector<JobEventBody>> ParseEvents(const v1::ReportRequest& request) {
  std::vector<JobEventBody> events;
  for (int i = 0; i < request.events_size(); ++i) {
    const absl::StatusOr<nlohmann::json> document = ParseDocument(request.events(i));
    absl::StatusOr<JobEventBody> body = document.ok() ? JobEventBodyFromJson(*document) : document.status();
    if (!body.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("events[", i, "]: ", body.status().message()));
    }
    events.push_back(*std::move(body));
  }
  return events;
}

News TakeNews(int64_t first_sequence, std::vector<JobEventBody> events, JobRecord* record) {
  News news;
  const int64_t expected = record->worker_sequence + 1;
  if (first_sequence > expected) {
    // Acknowledged once, and gone from the log: that was damaged. The work isn't.
    news.events.push_back(JobLogLine{
        absl::StrCat("the worker's events ", expected, " to ", first_sequence - 1, " are missing from the log"),
        /*warning=*/true});
    record->worker_sequence = first_sequence - 2;  // the line counts as the last of them
  }
  for (size_t i = 0; i < events.size() && !news.end.has_value(); ++i) {
    if (first_sequence + static_cast<int64_t>(i) < expected) {
      continue;  // resent, and there already
    }
    if (auto* const change = std::get_if<JobStateChange>(&events[i]); change != nullptr) {
      news.end = std::move(*change);
    } else {
      news.events.push_back(std::move(events[i]));
    }
  }
  return news;
}

}  // namespace graft
