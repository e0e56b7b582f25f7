// Threads for what gRPC's own must not wait for: files, SQLite, clean-up.
#ifndef GRAFT_SERVER_RPC_THREAD_POOL_H_
#define GRAFT_SERVER_RPC_THREAD_POOL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"

namespace graft {

// Thread-safe. What the work throws is logged and goes no further.
class ThreadPool {
 public:
  explicit ThreadPool(int threads, size_t max_queued = SIZE_MAX);
  // Runs what is queued, then ends.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // False when the queue is full: a new call is refused then.
  bool TryPost(std::function<void()> work);
  // For what was let in already, so that a stream never gets stuck.
  void Post(std::function<void()> work);

 private:
  bool Push(std::function<void()> work, size_t max_queued);
  void Loop();

  const size_t max_queued_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  // Last: they use all of the above.
  std::vector<std::thread> threads_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_THREAD_POOL_H_
