#include "client/watch_view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/training_options.h"
#include "core/base/text.h"

namespace graft {
namespace {

constexpr absl::Duration kPlainInterval = absl::Seconds(5);

std::string Amount(int64_t count, const std::string& unit) { return absl::StrCat(Thousands(count), " ", unit); }

}  // namespace

void WatchView::Clear() {
  if (live_) {
    *out_ << "\r\x1b[K" << std::flush;
    live_ = false;
  }
}

void WatchView::Line(const std::string& text) {
  Clear();
  *out_ << text << std::endl;  // flushed: somebody may follow the pipe
}

void WatchView::Live(const std::string& text) {
  *out_ << "\r\x1b[K" << ClippedToColumns(text, static_cast<size_t>(columns_ - 1)) << std::flush;
  live_ = true;
}

std::string WatchView::ProgressText(const v1::Progress& progress) const {
  std::string left = Printable(progress.phase());
  std::string right;
  if (progress.epochs() > 0) {
    absl::StrAppend(&left, absl::StrFormat("  epoch %d/%d", progress.epoch(), progress.epochs()));
  }
  double share = -1;
  if (progress.total() > 0) {
    share = static_cast<double>(progress.done()) / static_cast<double>(progress.total());
    absl::StrAppend(&right, absl::StrFormat(" %3.0f%%", 100 * share));
  }
  if (progress.epochs() == 0 || !terminal_) {
    absl::StrAppend(&right, "  ", Thousands(progress.done()),
                    progress.total() > 0 ? absl::StrCat("/", Thousands(progress.total())) : "", " ",
                    Printable(progress.unit()));
  }
  if (progress.epochs() > 0 && step_.has_value()) {
    absl::StrAppend(&right, absl::StrFormat("  loss %.4f  accuracy %.4f", step_->loss(), step_->accuracy()));
  }
  if (progress.images_per_second() > 0) {
    absl::StrAppend(&right, absl::StrFormat("  %.0f images/s", progress.images_per_second()));
  }
  if (progress.has_eta_seconds()) {
    absl::StrAppend(&right, "  ETA ", Duration(progress.eta_seconds()));
  }
  if (terminal_ && share >= 0) {
    // The bar takes what the figures leave of the line.
    constexpr int kWidest = 30;
    constexpr int kNarrowest = 5;
    const int space = columns_ - 1 - 4 - static_cast<int>(Columns(left) + Columns(right));
    if (space >= kNarrowest) {
      absl::StrAppend(&left, "  ", Bar(share, std::min(kWidest, space)));
    }
  }
  return left + right;
}

void WatchView::EndPhase(absl::Time time) {
  if (!terminal_ && phase_.has_value()) {
    std::string text = absl::StrCat(Printable(phase_->phase()), ": done");
    if (phase_->epochs() == 0 && phase_->done() > 0) {
      absl::StrAppend(&text, ", ", Amount(phase_->done(), Printable(phase_->unit())));
    }
    if (time > phase_start_) {
      absl::StrAppend(&text, ", ", Duration(absl::ToDoubleSeconds(time - phase_start_)));
    }
    Line(text);
  }
  phase_.reset();
  step_.reset();
}

void WatchView::ShowProgress(const v1::Progress& progress, absl::Time time) {
  epochs_ = progress.epochs() > 0 ? progress.epochs() : epochs_;
  const bool fresh = !phase_.has_value() || phase_->phase() != progress.phase();
  if (fresh) {
    EndPhase(time);
    phase_start_ = time;
    last_line_ = time;
  }
  phase_ = progress;
  if (progress.steps_size() > 0) {
    step_ = progress.steps(progress.steps_size() - 1);
  }
  if (terminal_) {
    Live(ProgressText(progress));
    return;
  }
  if (fresh) {
    std::string text = absl::StrCat(Printable(progress.phase()), ": started");
    if (progress.epochs() > 0) {
      absl::StrAppend(&text, ", ", Amount(progress.epochs(), "epochs of "),
                      Amount(progress.total(), Printable(progress.unit())));
    } else if (progress.total() > 0) {
      absl::StrAppend(&text, ", ", Amount(progress.total(), Printable(progress.unit())));
    }
    Line(text);
  } else if (time - last_line_ >= kPlainInterval) {
    last_line_ = time;
    Line(ProgressText(progress));
  }
  if (progress.epochs() == 0 && progress.total() > 0 && progress.done() >= progress.total()) {
    EndPhase(time);
  }
}

void WatchView::ShowState(const v1::JobEvent& event, absl::Time time) {
  const v1::JobState state = event.state().state();
  const std::string id = Printable(event.job_id());
  if (state == v1::JOB_STATE_SUCCEEDED) {
    EndPhase(time);
  } else {
    // What failed, was stopped or starts again isn't done.
    phase_.reset();
    step_.reset();
  }
  switch (state) {
    case v1::JOB_STATE_QUEUED:
      queue_position_ = 0;
      Line(absl::StrCat(id, " is queued"));
      break;
    case v1::JOB_STATE_RUNNING:
      Line(event.attempt() > 1 ? absl::StrCat(id, " is running again, attempt ", event.attempt())
                               : absl::StrCat(id, " is running"));
      break;
    case v1::JOB_STATE_PAUSED:
      Line(absl::StrCat(id, " is paused until: graft job resume ", id));
      break;
    case v1::JOB_STATE_SUCCEEDED:
      Line(absl::StrCat(id, " has succeeded"));
      break;
    case v1::JOB_STATE_FAILED:
      Line(absl::StrCat(id, " has failed"));
      break;
    case v1::JOB_STATE_CANCELLED:
      Line(absl::StrCat(id, " was cancelled"));
      break;
    default:
      Line(absl::StrCat(id, " is ", ShortName(*v1::JobState_descriptor(), state)));
      break;
  }
}

void WatchView::Show(const v1::JobEvent& event) {
  const absl::Time time = absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
  switch (event.kind_case()) {
    case v1::JobEvent::kState:
      ShowState(event, time);
      break;
    case v1::JobEvent::kProgress:
      ShowProgress(event.progress(), time);
      break;
    case v1::JobEvent::kEpoch: {
      const v1::EpochMetrics& epoch = event.epoch();
      // A watch that starts late (--after), or of a head that learns all at once, doesn't know how many there are.
      const std::string total = epochs_ > 0 ? absl::StrCat("/", epochs_) : "";
      Line(absl::StrFormat("epoch %*d%s  loss %.4f  accuracy %.4f  val_loss %.4f  val_accuracy %.4f  %s",
                           std::max(static_cast<int>(total.size()) - 1, 0), epoch.epoch(), total, epoch.loss(),
                           epoch.accuracy(), epoch.validation_loss(), epoch.validation_accuracy(),
                           Duration(epoch.seconds())));
      last_line_ = time;
      break;
    }
    case v1::JobEvent::kLog:
      Line(absl::StrCat(event.log().warning() ? "warning: " : "", Printable(event.log().text())));
      break;
    case v1::JobEvent::KIND_NOT_SET:
      break;  // a newer server's
  }
}

void WatchView::ShowQueuePosition(const std::string& job_id, int position) {
  if (terminal_) {
    Live(absl::StrCat(Printable(job_id), " is queued, number ", position, " in line"));
  } else if (position != queue_position_) {
    Line(absl::StrCat(Printable(job_id), " is number ", position, " in line"));
  }
  queue_position_ = position;
}

}  // namespace graft
