// Loops over threads, the mutex and the byte budget.
#include "core/base/parallel.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "core/base/memory_budget.h"
#include "core/base/mutex.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::testing::ElementsAre;

TEST(ParallelForTest, CallsEachOnce) {
  for (const int threads : {0, 1, 3, 100}) {
    std::vector<std::atomic<int>> calls(50);
    ParallelFor(50, threads, [&](int64_t i) { ++calls[static_cast<size_t>(i)]; });
    for (const auto& n : calls) {
      EXPECT_EQ(n, 1);
    }
  }
  ParallelFor(0, 4, [](int64_t) { FAIL(); });
}

TEST(ParallelForTest, AnExceptionComesBackToTheCallerAndEndsTheLoop) {
  for (const int threads : {1, 4}) {
    std::atomic<int> calls = 0;
    EXPECT_THROW(ParallelFor(1'000'000, threads,
                             [&](int64_t i) {
                               ++calls;
                               if (i == 10) {
                                 throw std::runtime_error("ten");
                               }
                             }),
                 std::runtime_error);
    EXPECT_GE(calls, 11);
    EXPECT_LT(calls, 1'000'000);
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which need address space of their own
TEST(ParallelForTest, WithoutMoreThreadsTheCallerDoesTheWork) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a fresh process: this one has stacks of threads that ended
  const auto run = [] {
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const auto limit = static_cast<rlim_t>(pages * getpagesize() + (4 << 20));  // less than a thread's stack
    const rlimit limits{limit, limit};
    if (setrlimit(RLIMIT_AS, &limits) != 0) {
      _exit(1);
    }
    std::atomic<int> calls = 0;
    ParallelFor(100, 8, [&](int64_t) { ++calls; });
    _exit(calls == 100 ? 0 : 2);
  };
  EXPECT_EXIT(run(), ::testing::ExitedWithCode(0), "");
}
#endif

class Gate {
 public:
  void Open() {
    const MutexLock lock(&mutex_);
    open_ = true;
  }
  void Wait() {
    const MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&open_));
  }
  bool WaitFor(absl::Duration timeout) {
    const MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&open_), timeout);
  }

 private:
  Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(MutexTest, AwaitsWhatOthersDo) {
  Gate gate;
  EXPECT_FALSE(gate.WaitFor(absl::ZeroDuration()));
  EXPECT_FALSE(gate.WaitFor(absl::Milliseconds(1)));
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] { gate.Wait(); });
  }
  gate.Open();
  for (std::thread& waiter : waiters) {
    waiter.join();
  }
  EXPECT_TRUE(gate.WaitFor(absl::InfiniteDuration()));
}

// Each waits for the other's change, and changes something itself right before it waits.
TEST(MutexTest, WhatIsDoneBeforeAwaitingIsSeenByThoseWhoAwait) {
  Mutex mutex;
  int turn = 0;
  const auto play = [&](int me) {
    for (int round = 0; round < 2000; ++round) {
      const MutexLock lock(&mutex);
      const auto mine = [&] { return turn % 2 == me; };
      mutex.Await(absl::Condition(&mine));
      ++turn;
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  EXPECT_EQ(turn, 4000);
  const auto pass = [&](int me) {
    const MutexLock lock(&mutex);
    for (int round = 0; round < 2000; ++round) {  // never unlocked in between, only by Await
      const auto mine = [&] { return turn % 2 == me; };
      mutex.Await(absl::Condition(&mine));
      ++turn;
    }
  };
  std::thread second(pass, 1);
  pass(0);
  second.join();
  EXPECT_EQ(turn, 8000);
}

TEST(MemoryBudgetTest, ServesInTheOrderOfAsking) {
  MemoryBudget budget(100);
  std::vector<int> order;
  Mutex mutex;
  auto first = std::make_unique<MemoryBudget::Share>(budget.Take(60));
  EXPECT_EQ(budget.used(), 60);
  std::thread large([&] {
    const MemoryBudget::Share share = budget.Take(1000);  // more than there is: alone
    EXPECT_EQ(budget.used(), 1000);
    const MutexLock lock(&mutex);
    order.push_back(1);
  });
  budget.AwaitWaiting(1);
  std::thread small([&] {
    const MemoryBudget::Share share = budget.Take(1);  // would fit, but came later
    const MutexLock lock(&mutex);
    order.push_back(2);
  });
  budget.AwaitWaiting(2);
  first.reset();
  large.join();
  small.join();
  EXPECT_EQ(budget.used(), 0);
  EXPECT_THAT(order, ElementsAre(1, 2));
}

}  // namespace
}  // namespace graft
