#include "core/model/treatment.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace graft {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatEq;

const Shape kGrid = {2, 2, 3};
// Four places with three channels each.
const std::vector<float> kFeatures = {1, 0, -8, 2, 0, -4, 3, 0, -2, 6, 0, -2};

std::vector<float> Treated(Pooling pooling, FeatureScaling scaling, const std::vector<float>& features = kFeatures) {
  TrainingOptions options;
  options.pooling = pooling;
  options.feature_scaling = scaling;
  EXPECT_EQ(IsTreated(options), pooling != Pooling::kNone || scaling != FeatureScaling::kNone);
  std::vector<float> out(static_cast<size_t>(ElementCount(TreatedShape(kGrid, pooling))), 99);
  TreatFeatures(features.data(), kGrid, options, out.data());
  return out;
}

TEST(TreatmentTest, PoolsEachChannelOverTheGrid) {
  EXPECT_EQ(TreatedShape(kGrid, Pooling::kNone), kGrid);
  EXPECT_EQ(TreatedShape(kGrid, Pooling::kAverage), Shape{3});
  EXPECT_EQ(TreatedShape(kGrid, Pooling::kMax), Shape{3});
  EXPECT_EQ(Treated(Pooling::kNone, FeatureScaling::kNone), kFeatures);
  EXPECT_THAT(Treated(Pooling::kAverage, FeatureScaling::kNone), ElementsAre(3, 0, -4));
  EXPECT_THAT(Treated(Pooling::kMax, FeatureScaling::kNone), ElementsAre(6, 0, -2));
}

TEST(TreatmentTest, ScalesToLengthOneAfterPooling) {
  EXPECT_THAT(Treated(Pooling::kAverage, FeatureScaling::kL2), ElementsAre(FloatEq(0.6F), 0, FloatEq(-0.8F)));
  const std::vector<float> all = Treated(Pooling::kNone, FeatureScaling::kL2);
  EXPECT_NEAR(std::inner_product(all.begin(), all.end(), all.begin(), 0.0), 1, 1e-6);
  std::vector<float> larger = kFeatures;
  for (float& value : larger) {
    value *= 1e15F;  // whose squares are no floats
  }
  const std::vector<float> same = Treated(Pooling::kNone, FeatureScaling::kL2, larger);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_FLOAT_EQ(same[i], all[i]);
  }
}

TEST(TreatmentTest, NothingStaysNothing) {
  EXPECT_THAT(Treated(Pooling::kMax, FeatureScaling::kL2, std::vector<float>(12)), Each(0));
}

}  // namespace
}  // namespace graft
