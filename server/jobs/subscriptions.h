// Who wants to hear of a job's new events.
#ifndef GRAFT_SERVER_JOBS_SUBSCRIPTIONS_H_
#define GRAFT_SERVER_JOBS_SUBSCRIPTIONS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"

namespace graft {

// Thread-safe. Notifications are called under no lock but their own.
class Subscriptions {
 public:
  int64_t Add(int64_t job, std::function<void()> notify) {
    const MutexLock lock(&mutex_);
    all_[next_] = std::make_shared<One>(job, std::move(notify));
    return next_++;
  }

  // Once it has returned, the notification isn't called any more: it waits for a call of this one that is in progress,
  // never for another's. A notification must not remove itself.
  void Remove(int64_t subscription) {
    std::shared_ptr<One> removed;
    {
      const MutexLock lock(&mutex_);
      const auto it = all_.find(subscription);
      if (it == all_.end()) {
        return;
      }
      removed = std::move(it->second);
      all_.erase(it);
    }
    const MutexLock lock(&removed->calling);
    removed->notify = nullptr;
  }

  void Notify(int64_t job) {
    std::vector<std::shared_ptr<One>> to_call;
    {
      const MutexLock lock(&mutex_);
      for (const auto& [id, one] : all_) {
        if (one->job == job) {
          to_call.push_back(one);
        }
      }
    }
    for (const std::shared_ptr<One>& one : to_call) {
      const MutexLock lock(&one->calling);
      if (one->notify != nullptr) {
        one->notify();
      }
    }
  }

 private:
  struct One {
    One(int64_t the_job, std::function<void()> the_notify) : job(the_job), notify(std::move(the_notify)) {}

    const int64_t job;
    Mutex calling;
    std::function<void()> notify ABSL_GUARDED_BY(calling);
  };

  Mutex mutex_;
  std::map<int64_t, std::shared_ptr<One>> all_ ABSL_GUARDED_BY(mutex_);
  int64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace graft

#endif  // GRAFT_SERVER_JOBS_SUBSCRIPTIONS_H_
