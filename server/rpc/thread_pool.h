// Threads for what gRPC's own must not wait for: files, SQLite, loading models.
#ifndef GRAFT_SERVER_RPC_THREAD_POOL_H_
#define GRAFT_SERVER_RPC_THREAD_POOL_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace graft {

// Thread-safe.
class ThreadPool {
 public:
  ThreadPool(int threads, size_t max_queued);
  // Runs what is queued, then ends.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // False when the queue is full: a new call is refused then.
  bool TryPost(std::function<void()> work);
  // For what was let in already, so that a stream never gets stuck.
  void Post(std::function<void()> work);

 private:
  void Loop();

  const size_t max_queued_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool stopping_ = false;
  std::deque<std::function<void()>> queue_;
  // Last: they use all of the above.
  std::vector<std::thread> threads_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_THREAD_POOL_H_
