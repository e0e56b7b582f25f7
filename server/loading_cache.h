// Things that are slow to load and used by many: loaded once however many wait, and the ones used longest ago dropped.
#ifndef GRAFT_SERVER_LOADING_CACHE_H_
#define GRAFT_SERVER_LOADING_CACHE_H_

#include <algorithm>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/base/status.h"

namespace graft {

// Thread-safe. Must live until what it has posted has run.
template <typename Key, typename T>
class LoadingCache {
 public:
  using Value = std::shared_ptr<const T>;
  using Load = std::function<absl::StatusOr<Value>()>;
  // May not throw.
  using Done = std::function<void(absl::StatusOr<Value>)>;
  // Runs work on another thread, later.
  using Post = std::function<void(std::function<void()>)>;

  LoadingCache(size_t capacity, Post post) : capacity_(capacity), post_(std::move(post)) {}
  LoadingCache(const LoadingCache&) = delete;
  LoadingCache& operator=(const LoadingCache&) = delete;

  // Calls `done` once: at once with what is there, or after `load` has run on the other thread; it runs once for all
  // who wait for the same key. A load that failed is tried again by the next who asks. CANCELLED: all who waited had
  // gone
  // (`abandoned`, which may be empty) before it began. UNAVAILABLE: stopped.
  void Get(const Key& key, Load load, std::function<bool()> abandoned, Done done) {
    absl::StatusOr<Value> value = Stopped();
    {
      const MutexLock lock(&mutex_);
      if (const auto known = FindLoaded(key); !stopped_ && known != recent_.end()) {
        recent_.splice(recent_.begin(), recent_, known);
        value = known->second;
      } else if (!stopped_) {
        if (const auto loading = FindLoading(key); loading != loading_.end()) {
          loading->waiters.push_back({std::move(abandoned), std::move(done)});
          return;
        }
        loading_.push_back({key, {}, false});
        const auto loading = std::prev(loading_.end());
        // Posted under the lock: it must not be there without the work. The work waits for the lock.
        post_([this, loading, load = std::move(load)] { Run(loading, load); });
        loading->waiters.push_back({std::move(abandoned), std::move(done)});
        return;
      }
    }
    done(std::move(value));
  }

  // Forgets the keys for which `which` is true, also those that load now: who waits gets them, nobody after.
  void Drop(const std::function<bool(const Key&)>& which) {
    Recent dropped;  // goes outside of the lock
    const MutexLock lock(&mutex_);
    for (auto it = recent_.begin(); it != recent_.end();) {
      const auto next = std::next(it);
      if (which(it->first)) {
        dropped.splice(dropped.end(), recent_, it);
      }
      it = next;
    }
    for (Loading& loading : loading_) {
      loading.dropped = loading.dropped || which(loading.key);
    }
  }

  // Of what is loaded, newest use first.
  std::vector<Key> keys() const {
    const MutexLock lock(&mutex_);
    std::vector<Key> keys;
    for (const auto& [key, value] : recent_) {
      keys.push_back(key);
    }
    return keys;
  }

  // From here on everybody, also who waits now, is answered with UNAVAILABLE.
  void Stop() {
    std::vector<Waiter> waiters;
    {
      const MutexLock lock(&mutex_);
      stopped_ = true;
      for (Loading& loading : loading_) {
        std::move(loading.waiters.begin(), loading.waiters.end(), std::back_inserter(waiters));
        loading.waiters.clear();
      }
    }
    for (const Waiter& waiter : waiters) {
      waiter.done(Stopped());
    }
  }

 private:
  using Recent = std::list<std::pair<Key, Value>>;
  struct Waiter {
    std::function<bool()> abandoned;
    Done done;
  };
  struct Loading {
    Key key;
    std::vector<Waiter> waiters;
    bool dropped = false;  // is for those who wait already
  };

  static absl::Status Stopped() { return absl::UnavailableError("the server is shutting down; try again"); }

  typename Recent::iterator FindLoaded(const Key& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::find_if(recent_.begin(), recent_.end(), [&](const auto& entry) { return entry.first == key; });
  }
  typename std::list<Loading>::iterator FindLoading(const Key& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::find_if(loading_.begin(), loading_.end(),
                        [&](const Loading& loading) { return loading.key == key && !loading.dropped; });
  }

  void Run(typename std::list<Loading>::iterator loading, const Load& load) {
    std::vector<Waiter> waiters;
    bool wanted = false;
    {
      const MutexLock lock(&mutex_);
      wanted = std::any_of(loading->waiters.begin(), loading->waiters.end(),
                           [](const Waiter& waiter) { return waiter.abandoned == nullptr || !waiter.abandoned(); });
      if (!wanted) {
        waiters = std::move(loading->waiters);
        loading_.erase(loading);
      }
    }
    absl::StatusOr<Value> value = absl::CancelledError("the caller has gone");
    if (wanted) {
      value = CatchExceptions("loading", load);
      Recent evicted;  // goes outside of the lock
      const MutexLock lock(&mutex_);
      waiters = std::move(loading->waiters);
      if (value.ok() && !loading->dropped && !stopped_) {
        recent_.emplace_front(loading->key, *value);
        if (recent_.size() > capacity_) {
          evicted.splice(evicted.begin(), recent_, std::prev(recent_.end()));
        }
      }
      loading_.erase(loading);
    }
    for (const Waiter& waiter : waiters) {
      waiter.done(value);
    }
  }

  const size_t capacity_;
  const Post post_;
  mutable Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  Recent recent_ ABSL_GUARDED_BY(mutex_);  // newest use first
  std::list<Loading> loading_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graft

#endif  // GRAFT_SERVER_LOADING_CACHE_H_
