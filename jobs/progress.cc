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

absl::Status StepTracker::Update(const StepUpdate& update) {
  const Clock::time_point now = now_();
  const int64_t done = int64_t{update.epoch - 1} * update.steps + update.step;
  // A training that goes on from a checkpoint begins in the middle of an epoch.
  if (!last_.has_value() || update.epoch != last_->epoch) {
    epoch_ = {update.step, now};
  }
  if (!last_.has_value() || update.stage != last_->stage || update.steps != last_->steps) {
    stage_ = {done, now};
  }
  last_ = update;
  JobProgress progress;
  progress.phase = "train";
  progress.unit = "steps";
  progress.done = update.step;
  progress.total = update.steps;
  progress.epoch = update.epoch;
  progress.epochs = update.epochs;
  const double epoch_seconds = std::chrono::duration<double>(now - epoch_.time).count();
  if (update.step > epoch_.step && epoch_seconds > 0) {
    progress.images_per_second = static_cast<double>(update.step - epoch_.step) * batch_size_ / epoch_seconds;
  }
  if (update.stage.empty() && done > stage_.step) {
    const int64_t all = int64_t{update.epochs} * update.steps;
    progress.eta_seconds = std::chrono::duration<double>(now - stage_.time).count() /
                           static_cast<double>(done - stage_.step) * static_cast<double>(all - done);
  }
  progress.steps = {{update.step, update.loss, update.accuracy}};
  sink_.progress(progress);
  return CheckStop(sink_);
}

}  // namespace graft
