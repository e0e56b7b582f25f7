// Slow work, done one after the other on a thread of its own.
#ifndef GRAFT_SERVER_JOBS_CHORES_H_
#define GRAFT_SERVER_JOBS_CHORES_H_

#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"

namespace graft {

// Thread-safe.
class Chores {
 public:
  ~Chores() { Finish(); }

  void Add(std::function<void()> chore) {
    const MutexLock lock(&mutex_);
    queue_.push_back(std::move(chore));
  }

  // Without a thread, chores wait for RunAll.
  void StartThread() {
    thread_ = std::thread([this] {
      while (RunNext(/*wait=*/true)) {
      }
    });
  }
  void RunAll() {
    while (RunNext(/*wait=*/false)) {
    }
  }

  // Returns once the thread has done what is there.
  void Finish() {
    {
      const MutexLock lock(&mutex_);
      finishing_ = true;
    }
    if (thread_.joinable()) {
      thread_.join();
    }
  }

 private:
  bool Ready() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return finishing_ || !queue_.empty(); }

  // False: there is none.
  bool RunNext(bool wait) {
    std::function<void()> chore;
    {
      const MutexLock lock(&mutex_);
      if (wait) {
        mutex_.Await(absl::Condition(this, &Chores::Ready));
      }
      if (queue_.empty()) {
        return false;
      }
      chore = std::move(queue_.front());
      queue_.pop_front();
    }
    chore();
    return true;
  }

  Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_CHORES_H_
