#include "client/watch.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"

namespace graft {
namespace {

std::string ProgressText(const v1::Progress& progress) {
  std::string text = progress.phase();
  if (progress.epochs() > 0) {
    absl::StrAppend(&text, absl::StrFormat(" epoch %d/%d", progress.epoch(), progress.epochs()));
  }
  if (progress.total() > 0) {
    const double share = static_cast<double>(progress.done()) / static_cast<double>(progress.total());
    absl::StrAppend(
        &text, " ", Bar(share, 20),
        absl::StrFormat(" %3.0f%%  %d/%d %s", 100 * share, progress.done(), progress.total(), progress.unit()));
  }
  if (progress.steps_size() > 0) {
    const v1::StepMetrics& step = progress.steps(progress.steps_size() - 1);
    absl::StrAppend(&text, absl::StrFormat("  loss %.4f  accuracy %.4f", step.loss(), step.accuracy()));
  }
  if (progress.images_per_second() > 0) {
    absl::StrAppend(&text, absl::StrFormat("  %.0f %s/s", progress.images_per_second(),
                                           progress.unit() == "files" ? "files" : "images"));
  }
  if (progress.has_eta_seconds()) {
    absl::StrAppend(&text, "  ETA ", Duration(progress.eta_seconds()));
  }
  return Printable(text);
}

std::string EpochText(const v1::EpochMetrics& epoch, int epochs) {
  return absl::StrFormat("epoch %3d/%d  loss %.4f  accuracy %.4f  val_loss %.4f  val_accuracy %.4f  %s", epoch.epoch(),
                         epochs, epoch.loss(), epoch.accuracy(), epoch.validation_loss(), epoch.validation_accuracy(),
                         Duration(epoch.seconds()));
}

}  // namespace

void WatchView::Clear() {
  if (live_) {
    *out_ << "\r\x1b[K" << std::flush;
    live_ = false;
  }
}

void WatchView::Line(const std::string& text) {
  Clear();
  *out_ << text << std::endl;
}

void WatchView::Live(const std::string& text) {
  *out_ << "\r\x1b[K" << text << std::flush;
  live_ = true;
}

void WatchView::Show(const v1::JobEvent& event) {
  if (event.has_progress()) {
    const v1::Progress& progress = event.progress();
    epochs_ = progress.epochs() > 0 ? progress.epochs() : epochs_;
    if (terminal_) {
      Live(ProgressText(progress));
      return;
    }
    // In a pipe: each phase's first and last event and a few between; of training the epochs' lines are enough.
    const bool fresh = progress.phase() != phase_;
    phase_ = progress.phase();
    const int tenth = progress.total() > 0 ? static_cast<int>(10 * progress.done() / progress.total()) : 0;
    if (progress.phase() != "train" && (fresh || tenth != shown_tenth_)) {
      shown_tenth_ = tenth;
      Line(ProgressText(progress));
    }
  } else if (event.has_epoch()) {
    Line(EpochText(event.epoch(), epochs_));
  } else if (event.has_log()) {
    Line(absl::StrCat(event.log().warning() ? "warning: " : "", Printable(event.log().text())));
  } else if (event.has_state()) {
    const v1::StateChange& change = event.state();
    switch (change.state()) {
      case v1::JOB_STATE_QUEUED:
        Line(absl::StrCat(event.job_id(), " is queued"));
        break;
      case v1::JOB_STATE_RUNNING:
        Line(event.attempt() > 1 ? absl::StrCat(event.job_id(), " is running, attempt ", event.attempt())
                                 : absl::StrCat(event.job_id(), " is running"));
        break;
      case v1::JOB_STATE_SUCCEEDED:
        Line(absl::StrCat(event.job_id(), " has succeeded"));
        break;
      case v1::JOB_STATE_FAILED:
        Line(absl::StrCat(event.job_id(), " has failed: ", Printable(change.error().message())));
        break;
      case v1::JOB_STATE_CANCELLED:
        Line(absl::StrCat(event.job_id(), " was cancelled"));
        break;
      default:
        break;
    }
  }
}

int Watch(const Cli& cli, const std::string& job_id, int64_t after, v1::StateChange* end) {
  WatchView view(cli.out, cli.out_is_terminal);
  InstallInterrupt();
  v1::StateChange last;
  constexpr int kTries = 30;
  for (int failures = 0;;) {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_id(job_id);
    request.set_after_sequence(after);
    const auto stream = cli.jobs->WatchJob(&context, request);
    // Ctrl-C has to end a Read that waits; a handler can't do more than set a flag.
    std::atomic<bool> over{false};
    std::thread canceller([&] {
      while (!over && !interrupted) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
      if (interrupted) {
        context.TryCancel();
      }
    });
    v1::JobEvent event;
    while (stream->Read(&event)) {
      failures = 0;
      after = event.sequence();
      if (event.has_state()) {
        last = event.state();
      }
      if (cli.json) {
        cli.PrintJson(event);
      } else {
        view.Show(event);
      }
    }
    const absl::Status status = FromGrpc(stream->Finish());
    over = true;
    canceller.join();
    view.Clear();
    if (status.ok()) {
      break;
    }
    if (interrupted) {
      *cli.err << "graft: " << job_id << " goes on; come back with: graft job watch " << job_id << "\n";
      return kInterrupted;
    }
    if (!absl::IsUnavailable(status) || ++failures == kTries) {
      return cli.Fail(status);
    }
    if (failures == 1) {
      *cli.err << "graft: lost the server; watching " << job_id << " again from event " << after + 1 << "\n";
    }
    Backoff(failures);
  }
  if (end != nullptr) {
    *end = last;
  }
  return last.state() == v1::JOB_STATE_SUCCEEDED ? kOk : kFailed;
}

}  // namespace graft
