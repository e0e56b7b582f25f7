#include "server/rpc/open_calls.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace graft {
namespace {

const char* Name(OpenCalls::Kind kind) {
  switch (kind) {
    case OpenCalls::Kind::kUnary:
      return "calls";
    case OpenCalls::Kind::kWatch:
      return "watches (--max-watch-streams)";
    case OpenCalls::Kind::kBulk:
      return "uploads, downloads and streams of images (--max-bulk-streams)";
  }
  return "calls";
}

}  // namespace

absl::Status ShuttingDown() { return absl::UnavailableError("the server is shutting down; try again"); }

OpenCalls::Ticket::~Ticket() {
  if (calls_ != nullptr) {
    calls_->Leave(number_);
  }
}

absl::StatusOr<OpenCalls::Ticket> OpenCalls::Enter(Kind kind, std::function<void()> abort) {
  const auto index = static_cast<size_t>(kind);
  const absl::MutexLock lock(&mutex_);
  if (closed_) {
    return ShuttingDown();
  }
  if (counts_[index] >= limits_[index]) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the server is busy: ", counts_[index], " ", Name(kind), " are open; try again in a second"));
  }
  const int64_t number = next_++;
  open_.emplace(number, Open{kind, std::move(abort)});
  ++counts_[index];
  return Ticket(this, number);
}

void OpenCalls::Leave(int64_t number) {
  decltype(open_)::node_type gone;  // its closure goes outside of the lock
  {
    const absl::MutexLock lock(&mutex_);
    gone = open_.extract(number);
    --counts_[static_cast<size_t>(gone.mapped().kind)];
    if (open_.empty()) {
      changed_.SignalAll();
    }
  }
}

void OpenCalls::Close() {
  std::vector<std::function<void()>> aborts;
  {
    const absl::MutexLock lock(&mutex_);
    closed_ = true;
    for (const auto& [number, open] : open_) {
      if (open.abort) {
        aborts.push_back(open.abort);
      }
    }
  }
  for (const std::function<void()>& abort : aborts) {
    abort();
  }
}

bool OpenCalls::AwaitNone(absl::Duration longest) {
  const absl::Time end = absl::Now() + longest;
  const absl::MutexLock lock(&mutex_);
  while (!open_.empty()) {
    if (changed_.WaitWithDeadline(&mutex_, end)) {
      return open_.empty();
    }
  }
  return true;
}

}  // namespace graft
