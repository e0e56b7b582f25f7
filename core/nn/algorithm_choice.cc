#include "core/nn/algorithm_choice.h"

#include <algorithm>
#include <limits>

namespace graft {

int64_t OwnFromBatch(const TimedRun& run) {
  constexpr double kAhead = 1.1;
  for (int64_t batch = 1; batch <= kLargestTried; batch *= 2) {
    run(batch, true);
    run(batch, false);
    double own = std::numeric_limits<double>::infinity();
    double onednn = own;
    const int rounds = batch <= 2 ? 5 : 3;  // short runs are the easier to disturb
    for (int round = 0; round < rounds; ++round) {
      own = std::min(own, run(batch, true));
      onednn = std::min(onednn, run(batch, false));
    }
    if (own <= kAhead * onednn) {
      return batch;
    }
  }
  return std::numeric_limits<int64_t>::max();
}

absl::Mutex& TimingGate() {
  static auto* const gate = new absl::Mutex;
  return *gate;
}

}  // namespace graft
