// Which of two algorithms a layer takes, decided by trying both, such that nothing which happens beside it decides.
#ifndef GRAFT_CORE_NN_ALGORITHM_CHOICE_H_
#define GRAFT_CORE_NN_ALGORITHM_CHOICE_H_

#include <cstdint>
#include <functional>

#include "absl/synchronization/mutex.h"

namespace graft {

// Seconds of one run over a batch, with our kernels or with oneDNN's.
using TimedRun = std::function<double(int64_t batch, bool own)>;

constexpr int64_t kLargestTried = 64;

// The smallest batch from which our kernels are taken: 1, 2, 4, ... kLargestTried, or INT64_MAX where oneDNN wins at
// all of them. A larger batch reuses our transformed filter more often, so what wins once wins from there on. oneDNN
// must be a tenth ahead: it would take memory for another copy of the weights.
//
// The two run by turns and the best run of each counts: what slows down single runs, another process for instance, or
// a stretch of them, changes nothing. The first run of each batch warms up and doesn't count.
int64_t OwnFromBatch(const TimedRun& run);

// Held for reading by whoever runs a convolution without gradients, and for writing over each timed run: within this
// process, no convolution runs beside a timing, on whichever thread it is, and none waits longer than for one run.
absl::Mutex& TimingGate();

}  // namespace graft

#endif  // GRAFT_CORE_NN_ALGORITHM_CHOICE_H_
