#include "worker/reporter.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"

namespace graft {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kInterval{250};  // between reports; an empty one is a heartbeat that brings a cancel
constexpr milliseconds kCallTimeout{10'000};
constexpr milliseconds kGiveUp{60'000};  // without a server for this long, nobody wants the result
constexpr int kMaxEvents = 256;          // a report

std::shared_ptr<grpc::Channel> Connect(const std::string& server) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

Reporter::Reporter(const std::string& server, std::string job_id, int attempt)
    : job_id_(std::move(job_id)), attempt_(attempt), stub_(v1::WorkerService::NewStub(Connect(server))) {
  thread_ = std::thread([this] { SendLoop(); });
}

Reporter::~Reporter() {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::StatusOr<v1::Assignment> Reporter::FetchAssignment() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  context.set_wait_for_ready(true);
  v1::FetchAssignmentRequest request;
  request.set_job_id(job_id_);
  request.set_attempt(attempt_);
  v1::Assignment assignment;
  const grpc::Status status = stub_->FetchAssignment(&context, request, &assignment);
  if (!status.ok()) {
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                        absl::StrCat("cannot fetch the job: ", status.error_message()));
  }
  return assignment;
}

void Reporter::Enqueue(v1::JobEvent event) { unacknowledged_.push_back(std::move(event)); }

void Reporter::FlushProgress() {
  if (progress_.has_value()) {
    v1::JobEvent event;
    *event.mutable_progress() = *std::move(progress_);
    progress_.reset();
    Enqueue(std::move(event));
  }
}

void Reporter::Progress(const v1::Progress& progress) {
  const std::lock_guard lock(mutex_);
  if (progress_.has_value() && (progress_->phase() != progress.phase() || progress_->epoch() != progress.epoch())) {
    FlushProgress();
  }
  v1::Progress merged = progress;
  if (progress_.has_value()) {
    merged.mutable_steps()->Swap(progress_->mutable_steps());
    merged.mutable_steps()->MergeFrom(progress.steps());
  }
  progress_ = std::move(merged);
}

void Reporter::Epoch(const v1::EpochMetrics& epoch) {
  const std::lock_guard lock(mutex_);
  FlushProgress();
  v1::JobEvent event;
  *event.mutable_epoch() = epoch;
  Enqueue(std::move(event));
}

void Reporter::Log(const std::string& text, bool warning) {
  const std::lock_guard lock(mutex_);
  FlushProgress();
  v1::JobEvent event;
  event.mutable_log()->set_text(text);
  event.mutable_log()->set_warning(warning);
  Enqueue(std::move(event));
}

void Reporter::Finish(const v1::StateChange& end) {
  std::unique_lock lock(mutex_);
  FlushProgress();
  v1::JobEvent event;
  *event.mutable_state() = end;
  Enqueue(std::move(event));
  finishing_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return unacknowledged_.empty() || stopped_; });
}

void Reporter::SendLoop() {
  Clock::time_point last_success = Clock::now();
  for (;;) {
    v1::ReportRequest request;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kInterval, [&] { return finishing_; });
      FlushProgress();
      if (finishing_ && unacknowledged_.empty()) {
        return;
      }
      request.set_first_sequence(first_sequence_);
      const auto count = std::min<size_t>(unacknowledged_.size(), kMaxEvents);
      for (size_t i = 0; i < count; ++i) {
        *request.add_events() = unacknowledged_[i];
      }
    }
    request.set_job_id(job_id_);
    request.set_attempt(attempt_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    v1::ReportResponse response;
    const grpc::Status status = stub_->Report(&context, request, &response);
    const std::lock_guard lock(mutex_);
    if (status.ok()) {
      last_success = Clock::now();
      while (!unacknowledged_.empty() && first_sequence_ <= response.acknowledged()) {
        unacknowledged_.pop_front();
        ++first_sequence_;
      }
      stopped_ = stopped_ || response.stop();
    } else if (Clock::now() - last_success > kGiveUp) {
      stopped_ = true;
    } else if (finishing_) {
      std::this_thread::sleep_for(kInterval);  // the server is restarting
    }
    changed_.notify_all();
    if (stopped_ && finishing_) {
      return;
    }
  }
}

}  // namespace graft
