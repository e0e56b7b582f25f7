#include "worker/reporter.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/mutex.h"

namespace graft {
namespace {

constexpr int kMaxEvents = 256;              // a report
constexpr size_t kMaxReportBytes = 1 << 20;  // of its events, but for the first
constexpr size_t kMaxSteps = 1000;           // an event
constexpr int kFirstReconnectBackoffMs = 250;
constexpr int kMaxReconnectBackoffMs = 2000;

std::shared_ptr<grpc::Channel> Connect(const std::string& server) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectBackoffMs);
  return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// How long nobody has answered.
class Silence {
 public:
  explicit Silence(const ReporterOptions& options) : options_(options) {}

  // Whether another try is worth while, after one that took `took` and the wait before it.
  bool GoesOn(const absl::Status& status, absl::Duration took) {
    switch (status.code()) {
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kDeadlineExceeded:
        // No try takes longer than this: the rest of the time this process wasn't running.
        lasted_ += std::min(took, options_.call_timeout + options_.interval) + options_.interval;
        return lasted_ < options_.give_up;
      case absl::StatusCode::kInvalidArgument:
      case absl::StatusCode::kFailedPrecondition:
      case absl::StatusCode::kNotFound:
      case absl::StatusCode::kUnimplemented:
      case absl::StatusCode::kPermissionDenied:
        return false;
      default:
        // It answers, and can't do it now: a full disk, a start, a shutdown.
        lasted_ = absl::ZeroDuration();
        return true;
    }
  }
  void Heard() { lasted_ = absl::ZeroDuration(); }

 private:
  const ReporterOptions& options_;
  absl::Duration lasted_;
};

class Stopwatch {
 public:
  absl::Duration Elapsed() const { return absl::FromChrono(std::chrono::steady_clock::now() - start_); }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

Reporter::Reporter(ReporterOptions options)
    : options_(std::move(options)), stub_(v1::WorkerService::NewStub(Connect(options_.server))) {
  thread_ = std::thread([this] { SendLoop(); });
}

Reporter::~Reporter() {
  {
    const MutexLock lock(&mutex_);
    finishing_ = true;
    closing_ = true;
  }
  thread_.join();
}

absl::StatusOr<v1::Assignment> Reporter::FetchAssignment() {
  v1::FetchAssignmentRequest request;
  request.set_job_id(options_.job_id);
  request.set_attempt(options_.attempt);
  request.set_incarnation(options_.incarnation);
  Silence silence(options_);
  while (!stopped_) {
    const Stopwatch watch;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(options_.call_timeout));
    context.set_wait_for_ready(true);
    v1::Assignment assignment;
    const absl::Status status = FromGrpc(stub_->FetchAssignment(&context, request, &assignment));
    if (status.ok()) {
      return assignment;
    }
    if (!silence.GoesOn(status, watch.Elapsed())) {
      return absl::Status(status.code(), absl::StrCat("cannot fetch the job: ", status.message()));
    }
    absl::SleepFor(options_.interval);
  }
  return absl::CancelledError("asked to stop before the job was fetched");
}

void Reporter::Enqueue(const JobEventBody& body) { unacknowledged_.push_back(DocumentText(ToJson(body))); }

void Reporter::FlushProgress() {
  if (progress_.has_value()) {
    const JobProgress progress = *std::move(progress_);
    progress_.reset();
    Enqueue(progress);
  }
}

void Reporter::Progress(const JobProgress& progress) {
  const MutexLock lock(&mutex_);
  if (progress_.has_value() && (progress_->phase != progress.phase || progress_->epoch != progress.epoch ||
                                progress_->steps.size() + progress.steps.size() > kMaxSteps)) {
    FlushProgress();
  }
  JobProgress merged = progress;
  if (progress_.has_value()) {
    merged.steps = std::move(progress_->steps);
    merged.steps.insert(merged.steps.end(), progress.steps.begin(), progress.steps.end());
  }
  progress_ = std::move(merged);
}

void Reporter::Epoch(const EpochMetrics& epoch) {
  const MutexLock lock(&mutex_);
  FlushProgress();
  Enqueue(epoch);
}

void Reporter::Line(const JobLogLine& line) {
  const MutexLock lock(&mutex_);
  FlushProgress();
  Enqueue(line);
}

absl::Status Reporter::Finish(const JobStateChange& end) {
  const MutexLock lock(&mutex_);
  FlushProgress();
  Enqueue(end);
  finishing_ = true;
  mutex_.Await(absl::Condition(this, &Reporter::Done));
  if (unacknowledged_.empty()) {
    return absl::OkStatus();
  }
  return failure_.ok() ? absl::CancelledError("asked to stop before the end was stored") : failure_;
}

bool Reporter::NextReport(v1::ReportRequest* request) {
  const MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&finishing_), options_.interval);
  FlushProgress();
  if (finishing_ && (Done() || closing_)) {
    return false;
  }
  request->set_job_id(options_.job_id);
  request->set_attempt(options_.attempt);
  request->set_incarnation(options_.incarnation);
  request->set_first_sequence(first_sequence_);
  size_t bytes = 0;
  for (const std::string& event : unacknowledged_) {
    bytes += event.size();
    if (request->events_size() > 0 && (request->events_size() == kMaxEvents || bytes > kMaxReportBytes)) {
      break;
    }
    request->add_events(event);
  }
  return true;
}

void Reporter::SendLoop() {
  Silence silence(options_);
  v1::ReportRequest request;
  for (; NextReport(&request); request.Clear()) {
    const Stopwatch watch;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(options_.call_timeout));
    v1::ReportResponse response;
    const absl::Status status = FromGrpc(stub_->Report(&context, request, &response));
    if (status.ok()) {
      silence.Heard();
      const MutexLock lock(&mutex_);
      while (!unacknowledged_.empty() && first_sequence_ <= response.acknowledged()) {
        unacknowledged_.pop_front();
        ++first_sequence_;
      }
      stopped_ = stopped_ || response.stop();
      finish_ = response.finish();
      continue;
    }
    if (!silence.GoesOn(status, watch.Elapsed())) {
      const MutexLock lock(&mutex_);
      failure_ = absl::Status(status.code(), absl::StrCat("cannot report to graftd: ", status.message()));
      stopped_ = true;
      continue;
    }
    const MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&closing_), options_.interval);
  }
}

}  // namespace graft
