#include "jobs/progress.h"

namespace graft {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

absl::Status CheckStop(const JobSink& sink) {
  return sink.stopped() ? absl::CancelledError("the job was asked to stop") : absl::OkStatus();
}

absl::Status ProgressTracker::Update(const ProgressUpdate& update) {
  if (update.phase != phase_ || update.done < done_) {
    phase_ = std::string(update.phase);
    start_ = last_;  // the first update comes after the phase's first piece of work
  }
  done_ = update.done;
  last_ = Clock::now();
  JobProgress progress;
  progress.phase = phase_;
  progress.done = update.done;
  progress.total = update.total;
  progress.unit = std::string(update.unit);
  const double elapsed = SecondsSince(start_);
  if (elapsed > 0 && update.done > 0) {
    const double rate = static_cast<double>(update.done) / elapsed;
    if (update.unit == "images" || update.unit == "files") {
      progress.images_per_second = rate;
    }
    if (update.total > update.done) {
      progress.eta_seconds = static_cast<double>(update.total - update.done) / rate;
    }
  }
  sink_.progress(progress);
  return CheckStop(sink_);
}

}  // namespace graft
