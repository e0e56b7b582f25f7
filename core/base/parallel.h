// A loop over threads of its own, for work that LibTorch's pool has no part in: reading, hashing, decoding.
#ifndef GRAFT_CORE_BASE_PARALLEL_H_
#define GRAFT_CORE_BASE_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace graft {

// Calls fn(i) for every i in [0, count), from `threads` threads at a time (at least one: the caller's). fn must not
// throw.
inline void ParallelFor(int64_t count, int threads, const std::function<void(int64_t)>& fn) {
  std::atomic<int64_t> next{0};
  const auto run = [&] {
    for (int64_t i = next++; i < count; i = next++) {
      fn(i);
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < std::min<int64_t>(threads, count); ++t) {
    others.emplace_back(run);
  }
  run();
  for (std::thread& thread : others) {
    thread.join();
  }
}

}  // namespace graft

#endif  // GRAFT_CORE_BASE_PARALLEL_H_
