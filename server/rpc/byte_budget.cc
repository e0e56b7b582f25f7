#include "server/rpc/byte_budget.h"

#include <algorithm>

#include "core/base/mutex.h"
#include "core/base/status.h"

namespace graft {

ByteBudget::Reservation::~Reservation() {
  if (budget_ != nullptr) {
    budget_->Release(bytes_);
  }
}

ByteBudget::Reservation ByteBudget::TakeLocked(int64_t bytes) {
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  return Reservation(this, bytes);
}

std::optional<ByteBudget::Reservation> ByteBudget::TryTake(int64_t bytes) {
  const MutexLock lock(&mutex_);
  if (bytes > limit_ - used_) {
    return std::nullopt;
  }
  return TakeLocked(bytes);
}

ByteBudget::Reservation ByteBudget::Take(int64_t bytes) {
  const MutexLock lock(&mutex_);
  return TakeLocked(bytes);
}

bool ByteBudget::HasRoom() const {
  const MutexLock lock(&mutex_);
  return used_ < limit_;
}

void ByteBudget::WhenRoom(std::function<void()> go) {
  {
    const MutexLock lock(&mutex_);
    if (used_ >= limit_) {
      waiting_.push_back(std::move(go));
      return;
    }
  }
  go();
}

void ByteBudget::Release(int64_t bytes) {
  std::vector<std::function<void()>> ready;
  {
    const MutexLock lock(&mutex_);
    used_ -= bytes;
    if (used_ < limit_) {
      ready.swap(waiting_);
    }
  }
  for (const std::function<void()>& go : ready) {
    // From a destructor: without memory to go on, a stream waits for its client to give up.
    (void)CatchExceptions("reading on", [&] {
      go();
      return absl::OkStatus();
    });
  }
}

int64_t ByteBudget::used() const {
  const MutexLock lock(&mutex_);
  return used_;
}

int64_t ByteBudget::peak() const {
  const MutexLock lock(&mutex_);
  return peak_;
}

}  // namespace graft
