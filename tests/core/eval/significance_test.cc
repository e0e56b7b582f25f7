#include "core/eval/significance.h"

#include "nlohmann/json.hpp"
#include "tests/testing/files.h"

namespace graft {
namespace {

nlohmann::json Expected() { return nlohmann::json::parse(testing::ReadText(testing::Golden("judging.json"))); }

TEST(WilsonIntervalTest, EqualsStatsmodels) {
  const nlohmann::json cases = Expected().at("wilson");
  ASSERT_GE(cases.size(), 5U);
  for (const nlohmann::json& one : cases) {
    const Interval interval = WilsonInterval(one[0], one[1]);
    EXPECT_NEAR(interval.low, one[2].get<double>(), 1e-9) << one;
    EXPECT_NEAR(interval.high, one[3].get<double>(), 1e-9) << one;
    EXPECT_GE(interval.low, 0);
    EXPECT_LE(interval.high, 1);
  }
}

TEST(WilsonIntervalTest, NothingSeenSaysNothing) {
  EXPECT_EQ(WilsonInterval(0, 0).low, 0);
  EXPECT_EQ(WilsonInterval(0, 0).high, 1);
}

TEST(McNemarExactTest, EqualsStatsmodelsEitherWayRound) {
  const nlohmann::json cases = Expected().at("mcnemar");
  ASSERT_GE(cases.size(), 5U);
  for (const nlohmann::json& one : cases) {
    EXPECT_NEAR(McNemarExact(one[0], one[1]) / one[2].get<double>(), 1, 1e-9) << one;
    EXPECT_NEAR(McNemarExact(one[1], one[0]) / one[2].get<double>(), 1, 1e-9) << one;
  }
}

TEST(McNemarExactTest, HalfAMillionOfEachStaysFinite) {
  EXPECT_EQ(McNemarExact(500'000, 500'000), 1);
  EXPECT_LT(McNemarExact(500'000, 510'000), 1e-20);
  EXPECT_GT(McNemarExact(500'000, 510'000), 0);
}

}  // namespace
}  // namespace graft
