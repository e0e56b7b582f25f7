// So many bytes for all threads together: work that needs more memory than is free waits for its turn.
#ifndef GRAFT_CORE_BASE_MEMORY_BUDGET_H_
#define GRAFT_CORE_BASE_MEMORY_BUDGET_H_

#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"

namespace graft {

// Thread-safe. Served in the order of asking, so that small ones passing by can't starve a large one; who asks for more
// than there is in all gets it alone.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t bytes) : bytes_(bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // Gives its bytes back at its end. The budget must outlive it.
  class Share {
   public:
    Share(Share&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Share& operator=(Share&&) = delete;
    ~Share() {
      if (budget_ != nullptr) {
        const MutexLock lock(&budget_->mutex_);
        budget_->used_ -= bytes_;
      }
    }

   private:
    friend class MemoryBudget;
    Share(MemoryBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}

    MemoryBudget* budget_;
    int64_t bytes_;
  };

  // Waits until `bytes` are free. Who holds a share must not ask for another.
  Share Take(int64_t bytes) {
    const MutexLock lock(&mutex_);
    const uint64_t turn = last_turn_++;
    const auto fits = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return turn == next_turn_ && (used_ == 0 || used_ + bytes <= bytes_);
    };
    mutex_.Await(absl::Condition(&fits));
    ++next_turn_;
    used_ += bytes;
    return Share(this, bytes);
  }

  int64_t used() const {
    const MutexLock lock(&mutex_);
    return used_;
  }
  // Returns when so many wait in Take: so that a test needs no sleep.
  void AwaitWaiting(uint64_t count) const {
    const MutexLock lock(&mutex_);
    const auto reached = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return last_turn_ - next_turn_ >= count; };
    mutex_.Await(absl::Condition(&reached));
  }

 private:
  const int64_t bytes_;
  mutable Mutex mutex_;
  int64_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  // Of those that wait: the one to be served next, and the one who comes next.
  uint64_t next_turn_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_turn_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace graft

#endif  // GRAFT_CORE_BASE_MEMORY_BUDGET_H_
