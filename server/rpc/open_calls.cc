#include "server/rpc/open_calls.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/mutex.h"

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
  const MutexLock lock(&mutex_);
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
    const MutexLock lock(&mutex_);
    gone = open_.extract(number);
    --counts_[static_cast<size_t>(gone.mapped().kind)];
  }
}

void OpenCalls::Close() {
  std::vector<std::function<void()>> aborts;
  {
    const MutexLock lock(&mutex_);
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
  const MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&open_, &decltype(open_)::empty), longest);
}

}  // namespace graft
