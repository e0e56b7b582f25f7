#include "core/nn/algorithm_choice.h"

#include <functional>
#include <limits>
#include <map>

#include "gtest/gtest.h"

namespace graft {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// A machine whose clock is a list: how long each algorithm takes by batch, and what goes wrong with which run.
class Machine {
 public:
  std::function<double(int64_t batch)> own = [](int64_t) { return 1.0; };
  std::function<double(int64_t batch)> onednn = [](int64_t) { return 1.0; };
  // Added to a run, which counts from 0 over all runs.
  std::function<double(int run)> disturbance = [](int) { return 0.0; };

  int64_t Choose() {
    runs_ = 0;
    return OwnFromBatch(
        [this](int64_t batch, bool is_own) { return (is_own ? own : onednn)(batch) + disturbance(runs_++); });
  }
  int runs() const { return runs_; }

 private:
  int runs_ = 0;
};

TEST(AlgorithmChoiceTest, TakesWhatIsFasterAndOursWhenTheyAreNear) {
  Machine machine;
  EXPECT_EQ(machine.Choose(), 1);
  machine.own = [](int64_t) { return 1.09; };
  EXPECT_EQ(machine.Choose(), 1);
  machine.own = [](int64_t) { return 1.2; };
  EXPECT_EQ(machine.Choose(), kNever);
}

TEST(AlgorithmChoiceTest, FindsTheBatchFromWhichOursWin) {
  Machine machine;
  machine.onednn = [](int64_t batch) { return static_cast<double>(batch); };
  machine.own = [](int64_t batch) { return 3 + 0.5 * static_cast<double>(batch); };  // 6.5 to 8.8 at eight
  EXPECT_EQ(machine.Choose(), 8);
  machine.own = [](int64_t batch) { return batch < kLargestTried ? 1e3 : 1.0; };
  EXPECT_EQ(machine.Choose(), kLargestTried);
}

// Other processes slow down runs, any of them and most of them; what counts is the best of each.
TEST(AlgorithmChoiceTest, DisturbedRunsChangeNothing) {
  for (const double own : {0.5, 1.05, 1.2, 3.0}) {
    Machine machine;
    machine.own = [=](int64_t) { return own; };
    const int64_t undisturbed = machine.Choose();
    const int runs = machine.runs();
    for (int from = 0; from < runs; ++from) {
      for (const int length : {1, 2, 3, 4}) {
        machine.disturbance = [=](int run) { return run >= from && run < from + length ? 50.0 : 0.0; };
        EXPECT_EQ(machine.Choose(), undisturbed) << own << ": " << length << " slow runs from " << from;
      }
    }
    machine.disturbance = [](int run) { return run % 4 < 2 ? 0.0 : 50.0; };
    EXPECT_EQ(machine.Choose(), undisturbed) << own << ": every other turn is slow";
  }
}

// A first run transforms weights and faults memory in; it says nothing.
TEST(AlgorithmChoiceTest, FirstRunsDoNotCount) {
  Machine machine;
  std::map<int64_t, int> seen;
  machine.onednn = [&](int64_t batch) { return seen[batch]++ == 0 ? 1e-6 : 1.0; };
  machine.own = [](int64_t) { return 0.9; };
  EXPECT_EQ(machine.Choose(), 1);
}

}  // namespace
}  // namespace graft
