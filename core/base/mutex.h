// A mutex that both checkers of ours see: clang's thread-safety analysis, which knows nothing of libstdc++'s
// std::mutex, and the thread sanitizer, which sees nothing of absl::Mutex when Abseil is a distribution's library that
// wasn't built for it, and then reports races that aren't there.
//
// The part of absl::Mutex that we use, with the same names and meaning; timeouts go by the steady clock.
#ifndef GRAFT_CORE_BASE_MUTEX_H_
#define GRAFT_CORE_BASE_MUTEX_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"  // absl::Condition
#include "absl/time/time.h"

namespace graft {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  // Whoever awaits a condition looks at it again.
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    const bool awaited = awaiting_ > 0;
    mutex_.unlock();
    if (awaited) {
      changed_.notify_all();
    }
  }

  // The caller holds the mutex, before and after; it is free in between. `condition` is evaluated under it.
  void Await(const absl::Condition& condition) {
    AwaitWith([&](std::unique_lock<std::mutex>& lock) {
      changed_.wait(lock, [&] { return condition.Eval(); });
      return true;
    });
  }
  // False when `timeout` passed and the condition still doesn't hold.
  bool AwaitWithTimeout(const absl::Condition& condition, absl::Duration timeout) {
    constexpr absl::Duration kLongest = absl::Hours(24 * 365);  // the clock's numbers end
    const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(std::min(timeout, kLongest));
    return AwaitWith([&](std::unique_lock<std::mutex>& lock) {
      return changed_.wait_until(lock, deadline, [&] { return condition.Eval(); });
    });
  }

 private:
  friend class CondVar;

  template <typename Wait>
  bool AwaitWith(const Wait& wait) {
    std::unique_lock<std::mutex> lock(mutex_, std::adopt_lock);
    ++awaiting_;
    // Others may wait for what the caller did before it waits itself.
    if (awaiting_ > 1) {
      changed_.notify_all();
    }
    const bool holds = wait(lock);
    --awaiting_;
    lock.release();
    return holds;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int awaiting_ = 0;  // guarded by mutex_
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_->Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

// For queues with many waiters, of whom one is to wake. Elsewhere Mutex::Await, which can't be forgotten to signal.
class CondVar {
 public:
  // The caller holds the mutex, before and after; wakes also for no reason.
  void Wait(Mutex* mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    // Others may await what the caller did before it waits.
    if (mutex->awaiting_ > 0) {
      mutex->changed_.notify_all();
    }
    changed_.wait(lock);
    lock.release();
  }
  void Signal() { changed_.notify_one(); }
  void SignalAll() { changed_.notify_all(); }

 private:
  std::condition_variable changed_;
};

}  // namespace graft

#endif  // GRAFT_CORE_BASE_MUTEX_H_
