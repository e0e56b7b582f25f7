#include "jobs/progress.h"

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::Optional;

class StepTrackerTest : public ::testing::Test {
 protected:
  // A step that ends so many seconds after the one before.
  JobProgress After(double seconds, const StepUpdate& update) {
    now_ += std::chrono::duration_cast<StepTracker::Clock::duration>(std::chrono::duration<double>(seconds));
    EXPECT_THAT(tracker_.Update(update), IsOk());
    return last_;
  }
  static StepUpdate At(int epoch, int step, const std::string& stage = "") {
    StepUpdate update;
    update.epoch = epoch;
    update.step = step;
    update.steps = 10;
    update.epochs = 4;
    update.stage = stage;
    return update;
  }

  bool stopped_ = false;
  JobProgress last_;
  const JobSink sink_ = {[this](const JobProgress& progress) { last_ = progress; }, [](const EpochMetrics&) {},
                         [](const JobLogLine&) {}, [this] { return stopped_; }, [] { return false; }};
  StepTracker::Clock::time_point now_ = StepTracker::Clock::now();
  StepTracker tracker_{sink_, 30, [this] { return now_; }};
};

TEST_F(StepTrackerTest, TimesFromTheFirstStepThatItSees) {
  JobProgress progress = After(100, At(1, 1));
  EXPECT_EQ(progress.phase, "train");
  EXPECT_EQ(progress.images_per_second, 0);
  EXPECT_EQ(progress.eta_seconds, std::nullopt);
  progress = After(2, At(1, 2));
  EXPECT_DOUBLE_EQ(progress.images_per_second, 15);
  EXPECT_THAT(progress.eta_seconds, Optional(::testing::DoubleEq(76)));  // 38 steps
  // The rate is the epoch's, the remaining time that of the whole training, with what lies between epochs.
  for (int step = 3; step <= 10; ++step) {
    After(2, At(1, step));
  }
  After(20, At(2, 1));
  progress = After(3, At(2, 2));
  EXPECT_DOUBLE_EQ(progress.images_per_second, 10);
  EXPECT_THAT(progress.eta_seconds, Optional(::testing::DoubleNear((18 + 20 + 3) / 11. * 28, 1e-9)));
}

TEST_F(StepTrackerTest, GoesOnInTheMiddleOfAnEpoch) {
  EXPECT_EQ(After(0, At(3, 7)).images_per_second, 0);
  const JobProgress progress = After(2, At(3, 8));
  EXPECT_DOUBLE_EQ(progress.images_per_second, 15);
  EXPECT_THAT(progress.eta_seconds, Optional(::testing::DoubleEq(24)));
}

TEST_F(StepTrackerTest, AStageSaysNothingOfTheNextOnesTime) {
  for (int step = 1; step <= 10; ++step) {
    EXPECT_EQ(After(0.01, At(1, step, "head")).eta_seconds, std::nullopt);
  }
  EXPECT_EQ(After(30, At(2, 1)).eta_seconds, std::nullopt);
  EXPECT_THAT(After(4, At(2, 2)).eta_seconds, Optional(::testing::DoubleEq(4 * 28)));
}

TEST_F(StepTrackerTest, AsksWhetherToStop) {
  stopped_ = true;
  EXPECT_THAT(tracker_.Update(At(1, 1)), StatusIs(absl::StatusCode::kCancelled, ::testing::_));
}

}  // namespace
}  // namespace graft
