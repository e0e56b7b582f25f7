#include "client/watch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"

namespace graft {
namespace {

constexpr absl::Duration kPlainInterval = absl::Seconds(5);
constexpr std::chrono::seconds kQueuePoll(2);

bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED || state == v1::JOB_STATE_CANCELLED;
}

std::string Amount(int64_t count, const std::string& unit) { return absl::StrCat(Thousands(count), " ", unit); }

// While one lives, the first Ctrl-C cancels the guarded call instead of ending the program; the second one ends it.
class Interrupt {
 public:
  Interrupt() {
    if (pipe2(pipe_, O_CLOEXEC) != 0) {
      pipe_[0] = pipe_[1] = -1;
      return;  // Ctrl-C then ends the program, as without us
    }
    signal_fd = pipe_[1];
    struct sigaction action {};
    action.sa_handler = [](int) {
      const int saved = errno;
      const char byte = 'i';
      (void)!write(signal_fd, &byte, 1);
      errno = saved;
    };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigaction(SIGINT, &action, &previous_);
    thread_ = std::thread([this] { Run(); });
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt() {
    if (pipe_[0] < 0) {
      return;
    }
    sigaction(SIGINT, &previous_, nullptr);
    const char byte = 'q';
    (void)!write(pipe_[1], &byte, 1);
    thread_.join();
    signal_fd = -1;
    close(pipe_[0]);
    close(pipe_[1]);
  }

  bool happened() {
    const std::lock_guard lock(mutex_);
    return happened_;
  }

  // From now on Ctrl-C cancels this call; null: none.
  void Guard(grpc::ClientContext* context) {
    const std::lock_guard lock(mutex_);
    context_ = context;
    if (happened_ && context_ != nullptr) {
      context_->TryCancel();
    }
  }

  // Returns early on Ctrl-C.
  void Sleep(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time, [&] { return happened_; });
  }

 private:
  void Run() {
    char byte = 0;
    for (;;) {
      const ssize_t got = read(pipe_[0], &byte, 1);
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got != 1 || byte != 'i') {
        return;
      }
      const std::lock_guard lock(mutex_);
      happened_ = true;
      if (context_ != nullptr) {
        context_->TryCancel();
      }
      changed_.notify_all();
    }
  }

  // What a signal handler may use.
  static inline std::atomic<int> signal_fd{-1};

  int pipe_[2];
  struct sigaction previous_ {};
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool happened_ = false;
  grpc::ClientContext* context_ = nullptr;
};

// The view, shared by the thread that reads events and the one that asks for the place in the queue: events don't carry
// it, as it changes whenever another job ends.
class QueueWatch {
 public:
  QueueWatch(const Cli& cli, std::string job_id, WatchView* view)
      : cli_(cli), job_id_(std::move(job_id)), view_(view), thread_([this] { Run(); }) {}
  QueueWatch(const QueueWatch&) = delete;
  QueueWatch& operator=(const QueueWatch&) = delete;
  ~QueueWatch() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      if (context_ != nullptr) {
        context_->TryCancel();
      }
      changed_.notify_all();
    }
    thread_.join();
  }

  void Show(const v1::JobEvent& event) {
    const std::lock_guard lock(mutex_);
    view_->Show(event);
    queued_ = event.has_state() && event.state().state() == v1::JOB_STATE_QUEUED;
    changed_.notify_all();
  }
  void Clear() {
    const std::lock_guard lock(mutex_);
    view_->Clear();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return queued_ || stop_; });
      if (stop_) {
        return;
      }
      const auto context = UnaryContext();
      context_ = context.get();
      lock.unlock();
      v1::GetJobRequest request;
      request.set_id(job_id_);
      v1::Job job;
      const bool answered = cli_.jobs->GetJob(context.get(), request, &job).ok();
      lock.lock();
      context_ = nullptr;
      if (answered && queued_ && !stop_ && job.queue_position() > 0) {
        view_->ShowQueuePosition(job_id_, job.queue_position());
      }
      changed_.wait_for(lock, kQueuePoll, [&] { return stop_; });
    }
  }

  const Cli& cli_;
  const std::string job_id_;
  std::mutex mutex_;
  std::condition_variable changed_;
  WatchView* const view_;  // guarded by mutex_, as what follows
  bool queued_ = false;
  bool stop_ = false;
  grpc::ClientContext* context_ = nullptr;
  std::thread thread_;  // last: it uses the rest
};

int TerminalColumns() {
  struct winsize size {};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
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
  *out_ << text << std::endl;  // flushed: somebody may follow the pipe
}

void WatchView::Live(const std::string& text) {
  *out_ << "\r\x1b[K" << Clipped(text, static_cast<size_t>(columns_ - 1)) << std::flush;
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
      Line(event.attempt() > 1 ? absl::StrCat(id, " is running again from its beginning, attempt ", event.attempt())
                               : absl::StrCat(id, " is running"));
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
      // A watch that starts late (--after) doesn't know how many there are.
      const std::string total = epochs_ > 0 ? absl::StrCat(epochs_) : "?";
      Line(absl::StrFormat("epoch %*d/%s  loss %.4f  accuracy %.4f  val_loss %.4f  val_accuracy %.4f  %s",
                           static_cast<int>(total.size()), epoch.epoch(), total, epoch.loss(), epoch.accuracy(),
                           epoch.validation_loss(), epoch.validation_accuracy(), Duration(epoch.seconds())));
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

int Watch(const Cli& cli, const std::string& job_id, const WatchOptions& options, v1::StateChange* end) {
  WatchView view(cli.out, cli.out_is_terminal, TerminalColumns());
  Interrupt interrupt;
  v1::StateChange last;
  int64_t after = options.after;
  bool answered = options.submitted;
  const auto leave = [&] {
    *cli.err << "graft: " << Printable(job_id) << " goes on; come back with: graft job watch " << Printable(job_id)
             << std::endl;
    return kInterrupted;
  };
  {
    std::optional<QueueWatch> queue;
    if (!cli.json) {
      queue.emplace(cli, job_id, &view);
    }
    const auto show = [&](const v1::JobEvent& event) {
      if (queue.has_value()) {
        queue->Show(event);
      } else if (options.show == WatchOptions::Show::kView) {
        cli.PrintJson(event);
      } else if (event.has_log() && event.log().warning()) {
        *cli.err << "graft: warning: " << Printable(event.log().text()) << std::endl;
      }
    };
    constexpr int kTries = 20;
    for (int failures = 0;;) {
      grpc::ClientContext context;
      interrupt.Guard(&context);
      v1::WatchJobRequest request;
      request.set_id(job_id);
      request.set_after_sequence(after);
      const auto stream = cli.jobs->WatchJob(&context, request);
      v1::JobEvent event;
      while (stream->Read(&event)) {
        answered = true;
        failures = 0;
        if (event.sequence() <= after) {
          continue;
        }
        after = event.sequence();
        if (event.has_state()) {
          last = event.state();
        }
        show(event);
      }
      absl::Status status = FromGrpc(stream->Finish());
      interrupt.Guard(nullptr);
      if (queue.has_value()) {
        queue->Clear();
      }
      if (status.ok() && !IsTerminal(last.state())) {
        // All of an ended job's events were asked to be left out.
        v1::GetJobRequest get;
        get.set_id(job_id);
        v1::Job job;
        status = FromGrpc(cli.jobs->GetJob(UnaryContext().get(), get, &job));
        if (status.ok() && !IsTerminal(job.state())) {
          status = absl::UnavailableError(absl::StrCat("the events of ", job_id, " ended before the job did"));
        }
        if (status.ok()) {
          last.set_state(job.state());
          *last.mutable_error() = job.error();
          *last.mutable_result() = job.result();
          if (!cli.json) {
            event.Clear();
            event.set_job_id(job_id);
            *event.mutable_state() = last;
            show(event);
          }
        }
      }
      if (status.ok()) {
        break;
      }
      if (interrupt.happened()) {
        return leave();
      }
      // A server that shuts down cancels calls that we didn't.
      const bool lost = absl::IsUnavailable(status) || absl::IsCancelled(status);
      if (!lost || !answered || ++failures == kTries) {
        return cli.Fail(status);
      }
      if (failures == 1) {
        *cli.err << "graft: lost the server; going on with " << Printable(job_id) << " after event " << after
                 << " when it is back" << std::endl;
      }
      interrupt.Sleep(BackoffTime(failures));
      if (interrupt.happened()) {
        return leave();
      }
    }
  }
  if (end != nullptr) {
    *end = last;
  }
  if (last.state() == v1::JOB_STATE_SUCCEEDED) {
    return kOk;
  }
  if (last.state() == v1::JOB_STATE_FAILED) {
    *cli.err << "graft: " << Printable(job_id) << " has failed: " << Printable(last.error().message()) << std::endl;
  } else {
    *cli.err << "graft: " << Printable(job_id) << " was cancelled" << std::endl;
  }
  return kFailed;
}

}  // namespace graft
