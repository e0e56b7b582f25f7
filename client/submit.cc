#include "client/submit.h"

#include <random>

#include "absl/strings/str_format.h"
#include "client/call.h"
#include "client/job_text.h"
#include "client/watch.h"
#include "core/base/text.h"

namespace graft {

std::string NewRequestId() {
  std::random_device random;
  const uint32_t a = random();
  const uint32_t b = random();
  const uint32_t c = random();
  const uint32_t d = random();
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%04x%08x", a, b >> 16, b & 0xFFF, 0x8000 | (c >> 18), c & 0xFFFF, d);
}

absl::StatusOr<v1::Job> Submit(const Cli& cli, const v1::JobSpec& spec, bool validate_only) {
  v1::SubmitJobRequest request;
  request.set_request_id(NewRequestId());
  *request.mutable_spec() = spec;
  request.set_validate_only(validate_only);
  constexpr int kTries = 5;
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<v1::Job> job = Call(*cli.jobs, &v1::JobService::Stub::SubmitJob, request);
    if (!absl::IsUnavailable(job.status()) || attempt == kTries) {
      return job;
    }
    absl::SleepFor(BackoffTime(attempt));
  }
}

int SubmitAndLeave(const Cli& cli, const v1::JobSpec& spec) {
  return Show(cli, Submit(cli, spec), [&](const v1::Job& job) {
    const std::string id = Printable(job.id());
    *cli.out << id << " is " << StateText(job) << "; follow it with: graft job watch " << id << "\n";
  });
}

int SubmitAndWait(const Cli& cli, const v1::JobSpec& spec, const std::function<int(const v1::JobResult&)>& print) {
  const absl::StatusOr<v1::Job> job = Submit(cli, spec);
  if (!job.ok()) {
    return cli.Fail(job.status());
  }
  v1::StateChange end;
  const int status = Watch(cli, job->id(), {.show = WatchOptions::Show::kResult, .submitted = true}, &end);
  return status == kOk ? print(end.result()) : status;
}

}  // namespace graft
