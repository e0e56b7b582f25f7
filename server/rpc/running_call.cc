#include "server/rpc/running_call.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "core/base/mutex.h"
#include "core/base/status.h"
#include "server/log.h"

namespace graft {
namespace {

std::string Milliseconds(absl::Duration duration) {
  return absl::StrFormat("%.1f", absl::ToDoubleMilliseconds(duration));
}

}  // namespace

RunningCall::RunningCall(std::string method, const grpc::CallbackServerContext& context)
    : method_(std::move(method)),
      start_(absl::Now()),
      cancelled_(std::make_shared<std::atomic<bool>>(false)),
      call_{context.peer(), absl::FromChrono(context.deadline()),
            [cancelled = cancelled_, deadline = absl::FromChrono(context.deadline())] {
              return cancelled->load(std::memory_order_relaxed) || absl::Now() >= deadline;
            },
            this,
            [this](std::shared_ptr<const void> something) {
              const MutexLock lock(&mutex_);
              kept_.push_back(std::move(something));
            }} {}

absl::Status RunningCall::Enter(OpenCalls* open, OpenCalls::Kind kind, std::function<void()> abort) {
  absl::StatusOr<OpenCalls::Ticket> ticket = open->Enter(kind, std::move(abort));
  if (!ticket.ok()) {
    return ticket.status();
  }
  const MutexLock lock(&mutex_);
  ticket_ = *std::move(ticket);
  return absl::OkStatus();
}

void RunningCall::Leave() {
  OpenCalls::Ticket gone;  // takes the lock of OpenCalls: outside of ours
  std::vector<std::shared_ptr<const void>> kept;
  const MutexLock lock(&mutex_);
  std::swap(gone, ticket_);
  std::swap(kept, kept_);
}

void RunningCall::Cancel() {
  const MutexLock lock(&mutex_);
  cancelled_->store(true, std::memory_order_relaxed);
}

absl::Status RunningCall::Wanted() const {
  if (cancelled_->load(std::memory_order_relaxed)) {
    return absl::CancelledError("the caller has gone");
  }
  if (absl::Now() >= call_.deadline) {
    return absl::DeadlineExceededError("the call's deadline passed while it waited");
  }
  return absl::OkStatus();
}

void RunningCall::OnPhase(const char* phase, absl::Duration spent) {
  const MutexLock lock(&mutex_);
  for (auto& [name, sum] : phases_) {
    if (absl::string_view(name) == phase) {
      sum += spent;
      return;
    }
  }
  phases_.emplace_back(phase, spent);
}

void RunningCall::End(const absl::Status& status) noexcept {
  const bool ours = absl::IsInternal(status) || absl::IsUnknown(status) || absl::IsDataLoss(status);
  // Without memory for a log line there is none.
  (void)CatchExceptions("logging", [&] {
    std::string phases;
    {
      const MutexLock lock(&mutex_);
      for (const auto& [name, spent] : phases_) {
        absl::StrAppend(&phases, phases.empty() ? "" : " ", name, ":", Milliseconds(spent));
      }
    }
    Log(ours ? LogLevel::kError : LogLevel::kInfo, "rpc",
        {{"method", method_},
         {"code", absl::StatusCodeToString(status.code())},
         {"ms", Milliseconds(absl::Now() - start_)},
         {"phases", phases},
         {"peer", call_.caller},
         {"message", std::string(status.message())}});
    return absl::OkStatus();
  });
}

}  // namespace graft
