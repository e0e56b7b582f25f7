#include "client/watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "client/call.h"
#include "client/interrupt.h"
#include "client/training_options.h"
#include "client/watch_view.h"
#include "core/base/mutex.h"
#include "core/base/text.h"

namespace graft {
namespace {

constexpr absl::Duration kQueuePoll = absl::Seconds(2);
// In a row, until a lost server is given up.
constexpr int kTries = 20;

int TerminalColumns() {
  struct winsize size {};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// The view, shared by the thread that reads events and one that asks for the place in the queue: events don't carry it,
// as it changes whenever another job ends. Thread-safe.
class QueueView {
 public:
  QueueView(const Cli& cli, std::string job_id)
      : cli_(cli),
        job_id_(std::move(job_id)),
        view_(cli.out, cli.out_is_terminal, TerminalColumns()),
        thread_([this] { Run(); }) {}
  QueueView(const QueueView&) = delete;
  QueueView& operator=(const QueueView&) = delete;
  ~QueueView() {
    {
      const MutexLock lock(&mutex_);
      stop_ = true;
      if (context_ != nullptr) {
        context_->TryCancel();
      }
    }
    thread_.join();
  }

  // False when the output takes no more.
  bool Show(const v1::JobEvent& event) {
    const MutexLock lock(&mutex_);
    view_.Show(event);
    queued_ = event.has_state() && event.state().state() == v1::JOB_STATE_QUEUED;
    return !cli_.out->fail();
  }
  void Clear() {
    const MutexLock lock(&mutex_);
    view_.Clear();
  }

 private:
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return queued_ || stop_; }

  void Run() {
    const MutexLock lock(&mutex_);
    for (;;) {
      mutex_.Await(absl::Condition(this, &QueueView::HasWork));
      if (stop_) {
        return;
      }
      const int position = AskForPosition();
      if (queued_ && !stop_ && position > 0) {
        view_.ShowQueuePosition(job_id_, position);
      }
      mutex_.AwaitWithTimeout(absl::Condition(&stop_), kQueuePoll);
    }
  }

  // 0 when the server doesn't tell. Gives the mutex away meanwhile.
  int AskForPosition() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto context = UnaryContext();
    context_ = context.get();
    mutex_.Unlock();
    v1::GetJobRequest request;
    request.set_id(job_id_);
    v1::Job job;
    const bool answered = cli_.jobs->GetJob(context.get(), request, &job).ok();
    mutex_.Lock();
    context_ = nullptr;
    return answered ? job.queue_position() : 0;
  }

  const Cli& cli_;
  const std::string job_id_;
  Mutex mutex_;
  WatchView view_ ABSL_GUARDED_BY(mutex_);
  bool queued_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;  // last: it uses the rest
};

// One watch: streams over as many connections as it takes.
class WatchSession {
 public:
  WatchSession(const Cli& cli, std::string job_id, const WatchOptions& options)
      : cli_(cli),
        job_id_(std::move(job_id)),
        options_(options),
        interrupt_(cli.out_fd),
        after_(options.after),
        answered_(options.submitted) {
    if (!cli.json) {
      view_.emplace(cli, job_id_);
    }
  }

  // The exit status; `end` gets the terminal state of a job that ended.
  int Run(v1::StateChange* end) {
    const absl::StatusOr<v1::StateChange> change = Follow();
    if (view_.has_value()) {
      view_->Clear();
    }
    if (output_closed()) {
      return kOutputClosed;
    }
    if (change.ok()) {
      *end = *change;
      return Verdict(*change);
    }
    if (!interrupt_.interrupted()) {
      return cli_.Fail(change.status());
    }
    *cli_.err << "graft: " << Id() << " goes on; come back with: graft job watch " << Id() << std::endl;
    return kInterrupted;
  }

 private:
  // Streams, and connects again when the server goes away, until the job has ended or going on is no use.
  absl::StatusOr<v1::StateChange> Follow() {
    for (;;) {
      const absl::Status status = StreamOnce();
      absl::StatusOr<v1::StateChange> end = status.ok() ? End() : status;
      if (end.ok() || !WaitToReconnect(end.status())) {
        return end;
      }
    }
  }

  // One connection's events. OK: the server has sent all of the job's.
  absl::Status StreamOnce() {
    grpc::ClientContext context;
    interrupt_.Guard(&context);
    v1::WatchJobRequest request;
    request.set_id(job_id_);
    request.set_after_sequence(after_);
    const auto stream = cli_.jobs->WatchJob(&context, request);
    v1::JobEvent event;
    while (!write_failed_ && taken_.ok() && stream->Read(&event)) {
      answered_ = true;
      failures_ = 0;
      Take(event);
    }
    if (write_failed_ || !taken_.ok()) {
      context.TryCancel();
    }
    absl::Status status = FromGrpc(stream->Finish());
    interrupt_.Guard(nullptr);
    if (view_.has_value()) {
      view_->Clear();
    }
    return taken_.ok() ? status : taken_;
  }

  // Shows an event that hasn't been seen.
  void Take(const v1::JobEvent& event) {
    if (event.sequence() <= after_) {
      return;
    }
    after_ = event.sequence();
    last_.reset();
    if (event.has_state()) {
      last_ = event.state();
    }
    if (options_.take != nullptr) {
      taken_ = options_.take(event);
    }
    if (taken_.ok()) {
      Show(event);
    }
  }

  void Show(const v1::JobEvent& event) {
    if (view_.has_value()) {
      write_failed_ = !view_->Show(event);
    } else if (options_.show == WatchOptions::Show::kView) {
      cli_.PrintJson(event);
      write_failed_ = cli_.out->fail();
    } else if (event.has_log() && event.log().warning()) {
      *cli_.err << "graft: warning: " << Printable(event.log().text()) << std::endl;
    }
  }

  // How the job ended, after a stream that ended well: its last event says so. Who asked for no event of an ended job
  // hasn't seen that one.
  absl::StatusOr<v1::StateChange> End() {
    if (last_.has_value()) {
      return *last_;
    }
    v1::GetJobRequest request;
    request.set_id(job_id_);
    GRAFT_ASSIGN_OR_RETURN(const v1::Job job, Call(*cli_.jobs, &v1::JobService::Stub::GetJob, request));
    if (!job.has_end_time()) {
      return absl::UnavailableError(absl::StrCat("the events of ", job_id_, " ended before the job did"));
    }
    v1::JobEvent event;
    event.set_job_id(job_id_);
    event.mutable_state()->set_state(job.state());
    *event.mutable_state()->mutable_error() = job.error();
    *event.mutable_state()->mutable_result() = job.result();
    if (!cli_.json) {  // it isn't one of the server's events
      Show(event);
    }
    return event.state();
  }

  // False when going on is no use. A server that shuts down cancels calls that we didn't.
  bool WaitToReconnect(const absl::Status& status) {
    const bool lost = absl::IsUnavailable(status) || absl::IsCancelled(status);
    if (HasToEnd() || !lost || !answered_ || ++failures_ == kTries) {
      return false;
    }
    if (failures_ == 1) {
      *cli_.err << "graft: lost the server; going on with " << Id() << " after event " << after_ << " when it is back"
                << std::endl;
    }
    interrupt_.Sleep(BackoffTime(failures_));
    return !HasToEnd();
  }

  int Verdict(const v1::StateChange& end) const {
    switch (end.state()) {
      case v1::JOB_STATE_SUCCEEDED:
        return kOk;
      case v1::JOB_STATE_FAILED:
        *cli_.err << "graft: " << Id() << " has failed: " << Printable(end.error().message()) << std::endl;
        break;
      case v1::JOB_STATE_CANCELLED:
        *cli_.err << "graft: " << Id() << " was cancelled" << std::endl;
        break;
      default:
        *cli_.err << "graft: " << Id() << " ended as " << ShortName(*v1::JobState_descriptor(), end.state())
                  << std::endl;
        break;
    }
    return kFailed;
  }

  bool output_closed() const { return write_failed_ || interrupt_.output_closed(); }
  bool HasToEnd() const { return output_closed() || interrupt_.interrupted() || !taken_.ok(); }

  std::string Id() const { return Printable(job_id_); }

  const Cli& cli_;
  const std::string job_id_;
  const WatchOptions options_;
  Interrupt interrupt_;
  std::optional<QueueView> view_;  // null with --format json
  int64_t after_;                  // of the last event that was taken
  bool answered_;                  // by the server, once at least
  int failures_ = 0;               // since the last event
  bool write_failed_ = false;
  absl::Status taken_;                   // what options_.take said last
  std::optional<v1::StateChange> last_;  // the last event, where that is a change of state
};

}  // namespace

int Watch(const Cli& cli, const std::string& job_id, const WatchOptions& options, v1::StateChange* end) {
  v1::StateChange unused;
  return WatchSession(cli, job_id, options).Run(end != nullptr ? end : &unused);
}

absl::Status ReadEvents(const Cli& cli, const std::string& job_id, int64_t last, const EventTaker& take) {
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_id(job_id);
  const auto stream = cli.jobs->WatchJob(&context, request);
  v1::JobEvent event;
  int64_t sequence = 0;
  absl::Status taken;
  while (taken.ok() && sequence < last && stream->Read(&event)) {
    sequence = event.sequence();
    taken = take(event);
  }
  const bool enough = !taken.ok() || sequence >= last;
  if (enough) {
    context.TryCancel();
  }
  const absl::Status status = FromGrpc(stream->Finish());
  if (enough) {
    return taken;
  }
  return status.ok() ? absl::DataLossError(absl::StrCat("the server sent the events of ", job_id, " only up to ",
                                                        sequence, " of ", last))
                     : status;
}

}  // namespace graft
