#include "core/model/keep.h"

#include <gtest/gtest.h>

#include <cmath>

namespace graft {
namespace {

EpochMetrics Epoch(int number, double validation_accuracy, double validation_loss, const char* stage = "") {
  EpochMetrics epoch;
  epoch.epoch = number;
  epoch.validation_accuracy = validation_accuracy;
  epoch.validation_loss = validation_loss;
  epoch.stage = stage;
  return epoch;
}

TEST(KeptEpoch, IsTheBestByWhatTheOptionNames) {
  const std::vector<EpochMetrics> history = {Epoch(1, 0.8, 0.5), Epoch(2, 0.9, 0.7), Epoch(3, 0.9, 0.6),
                                             Epoch(4, 0.9, 0.6)};
  EXPECT_EQ(KeptEpoch(Keep::kBestAccuracy, history), 3);  // of equals the lower loss, then the earlier
  EXPECT_EQ(KeptEpoch(Keep::kBestLoss, history), 1);
  EXPECT_EQ(KeptEpoch(Keep::kLast, history), 4);
  EXPECT_EQ(KeptEpoch(Keep::kBestLoss, {}), 0);
}

TEST(KeptEpoch, OneWhoseLossIsNotFiniteIsNeverTheBest) {
  EXPECT_EQ(KeptEpoch(Keep::kBestAccuracy, {Epoch(1, 0.9, std::nan("")), Epoch(2, 0.5, 0.7), Epoch(3, 0.4, 0.7)}), 2);
  EXPECT_EQ(KeptEpoch(Keep::kBestAccuracy, {Epoch(1, 0.9, std::nan("")), Epoch(2, 0.5, INFINITY)}), 2);
}

TEST(KeptEpoch, AStageBeginsAnew) {
  std::vector<EpochMetrics> history = {Epoch(1, 0.9, 0.1, "head"), Epoch(2, 0.8, 0.2, "head")};
  EXPECT_EQ(KeptEpoch(Keep::kBestAccuracy, history), 1);
  history.push_back(Epoch(3, 0.5, 0.9));
  EXPECT_EQ(KeptEpoch(Keep::kBestAccuracy, history), 3);
}

}  // namespace
}  // namespace graft
