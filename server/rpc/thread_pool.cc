#include "server/rpc/thread_pool.h"

#include <string>
#include <utility>

#include "core/base/mutex.h"
#include "core/base/status.h"
#include "server/log.h"

namespace graft {

ThreadPool::ThreadPool(int threads, size_t max_queued) : max_queued_(max_queued) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Loop(); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.SignalAll();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

bool ThreadPool::TryPost(std::function<void()> work) { return Push(std::move(work), max_queued_); }

void ThreadPool::Post(std::function<void()> work) { Push(std::move(work), SIZE_MAX); }

bool ThreadPool::Push(std::function<void()> work, size_t max_queued) {
  {
    const MutexLock lock(&mutex_);
    if (queue_.size() >= max_queued) {
      return false;
    }
    queue_.push_back(std::move(work));
  }
  changed_.Signal();
  return true;
}

void ThreadPool::Loop() {
  for (;;) {
    std::function<void()> work;
    {
      const MutexLock lock(&mutex_);
      while (!stopping_ && queue_.empty()) {
        changed_.Wait(&mutex_);
      }
      if (queue_.empty()) {
        return;
      }
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    // What is posted answers for its own exceptions; this is the last line, so that none ends the process.
    const absl::Status thrown = CatchExceptions("internal error", [&] {
      work();
      work = nullptr;
      return absl::OkStatus();
    });
    if (!thrown.ok()) {
      Log(LogLevel::kError, "exception", {{"message", std::string(thrown.message())}});
    }
  }
}

}  // namespace graft
