#include "jobs/to_proto.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "jobs/kind.h"

namespace graft {
namespace {

void FillError(const absl::Status& status, v1::JobError* error) {
  error->set_code(static_cast<int>(status.code()));
  error->set_message(std::string(status.message()));
}

v1::Progress ToProto(const JobProgress& progress) {
  v1::Progress out;
  out.set_phase(progress.phase);
  out.set_done(progress.done);
  out.set_total(progress.total);
  out.set_unit(progress.unit);
  out.set_images_per_second(progress.images_per_second);
  if (progress.eta_seconds.has_value()) {
    out.set_eta_seconds(*progress.eta_seconds);
  }
  out.set_epoch(progress.epoch);
  out.set_epochs(progress.epochs);
  for (const StepMetrics& step : progress.steps) {
    v1::StepMetrics* metrics = out.add_steps();
    metrics->set_step(step.step);
    metrics->set_loss(step.loss);
    metrics->set_accuracy(step.accuracy);
  }
  return out;
}

// Both documents as messages; what can't be read is left out and named by the status.
absl::Status FillSpec(const ResolvedJob& job, v1::JobSpec* out) {
  GRAFT_ASSIGN_OR_RETURN(const JobKind* kind, FindJobKind(job.kind));
  return kind->SpecToProto(job.spec, out);
}
absl::Status FillResult(const std::string& kind_name, const nlohmann::json& result, v1::JobResult* out) {
  GRAFT_ASSIGN_OR_RETURN(const JobKind* kind, FindJobKind(kind_name));
  return kind->ResultToProto(result, out);
}

absl::Status Unreadable(absl::string_view what, const absl::Status& status) {
  return absl::DataLossError(absl::StrCat("the job's ", what, " can't be read any more: ", status.message()));
}

}  // namespace

v1::JobState ToProto(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return v1::JOB_STATE_QUEUED;
    case JobState::kRunning:
    case JobState::kPublishing:
      return v1::JOB_STATE_RUNNING;
    case JobState::kSucceeded:
      return v1::JOB_STATE_SUCCEEDED;
    case JobState::kFailed:
      return v1::JOB_STATE_FAILED;
    case JobState::kCancelled:
      return v1::JOB_STATE_CANCELLED;
    case JobState::kPaused:
      return v1::JOB_STATE_PAUSED;
  }
  return v1::JOB_STATE_UNSPECIFIED;
}

v1::Job ToProto(const JobRecord& record) {
  v1::Job out;
  out.set_id(record.id());
  out.set_state(ToProto(record.state));
  *out.mutable_create_time() = ToTimestamp(record.create_time_ms);
  if (record.start_time_ms != 0) {
    *out.mutable_start_time() = ToTimestamp(record.start_time_ms);
  }
  if (record.end_time_ms != 0) {
    *out.mutable_end_time() = ToTimestamp(record.end_time_ms);
  }
  out.set_queue_position(record.queue_position);
  out.set_attempt(record.attempt);
  if (record.progress.has_value()) {
    *out.mutable_progress() = ToProto(*record.progress);
    out.mutable_progress()->clear_steps();
  }
  out.set_last_sequence(record.last_sequence);
  out.set_cancel_requested(record.wish == Wish::kCancel);
  out.set_pause_requested(record.wish == Wish::kPause);
  out.set_keep_best_requested(record.wish == Wish::kKeepBest);
  if (!record.error.ok()) {
    FillError(record.error, out.mutable_error());
  }
  if (const absl::Status status = FillSpec(record.job, out.mutable_spec()); !status.ok()) {
    out.clear_spec();
    FillError(Unreadable("spec", status), out.mutable_error());
  }
  if (!record.result.is_null()) {
    if (const absl::Status status = FillResult(record.job.kind, record.result, out.mutable_result()); !status.ok()) {
      out.clear_result();
      FillError(Unreadable("result", status), out.mutable_error());
    }
  }
  return out;
}

v1::JobEvent ToProto(const std::string& job_id, const std::string& kind, const JobEvent& event) {
  v1::JobEvent out;
  out.set_job_id(job_id);
  out.set_sequence(event.sequence);
  *out.mutable_time() = ToTimestamp(event.time_ms);
  out.set_attempt(event.attempt);
  struct Visitor {
    void operator()(const JobStateChange& change) const {
      v1::StateChange* state = out->mutable_state();
      state->set_state(ToProto(change.state));
      if (!change.error.ok()) {
        FillError(change.error, state->mutable_error());
      }
      if (!change.result.is_null()) {
        if (const absl::Status status = FillResult(kind, change.result, state->mutable_result()); !status.ok()) {
          state->clear_result();
          FillError(Unreadable("result", status), state->mutable_error());
        }
      }
    }
    void operator()(const JobProgress& progress) const { *out->mutable_progress() = ToProto(progress); }
    void operator()(const EpochMetrics& epoch) const { *out->mutable_epoch() = graft::ToProto(epoch); }
    void operator()(const JobLogLine& line) const {
      out->mutable_log()->set_text(line.text);
      out->mutable_log()->set_warning(line.warning);
    }
    const std::string& kind;
    v1::JobEvent* out;
  };
  std::visit(Visitor{kind, &out}, event.body);
  return out;
}

}  // namespace graft
