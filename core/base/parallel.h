// A loop over threads of its own, for work that LibTorch's pool has no part in: reading, hashing, decoding.
#ifndef GRAFT_CORE_BASE_PARALLEL_H_
#define GRAFT_CORE_BASE_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace graft {

// Calls fn(i) for every i in [0, count), from at most `threads` threads at a time (at least one: the caller's; fewer
// than asked for where the system gives no more). When fn throws, no further i is begun, and the first exception is
// thrown again on the caller's thread once all others have ended.
inline void ParallelFor(int64_t count, int threads, const std::function<void(int64_t)>& fn) {
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;  // guarded by mutex
  const auto run = [&] {
    try {
      for (int64_t i = next++; i < count; i = next++) {
        fn(i);
      }
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      if (failure == nullptr) {
        failure = std::current_exception();
      }
    }
  };
  std::vector<std::thread> others;
  try {
    for (int t = 1; t < std::min<int64_t>(threads, count); ++t) {
      others.emplace_back(run);
    }
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
    // Those that did start do the work, and so does this one.
  }
  run();
  for (std::thread& thread : others) {
    thread.join();
  }
  if (failure != nullptr) {
    std::rethrow_exception(failure);
  }
}

}  // namespace graft

#endif  // GRAFT_CORE_BASE_PARALLEL_H_
