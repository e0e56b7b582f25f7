// What the benchmarks share.
#ifndef GRAFT_TESTS_BENCH_BENCH_H_
#define GRAFT_TESTS_BENCH_BENCH_H_

#include <cstdlib>

namespace graft {

// Two, unless GRAFT_BENCH_THREADS says otherwise.
inline int BenchThreads() {
  const char* text = std::getenv("GRAFT_BENCH_THREADS");
  return text == nullptr ? 2 : std::atoi(text);
}

}  // namespace graft

#endif  // GRAFT_TESTS_BENCH_BENCH_H_
