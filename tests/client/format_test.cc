// How numbers, times and tables look.
#include "client/format.h"

#include "gtest/gtest.h"

namespace graft {
namespace {

TEST(FormatTest, NumbersTimesAndTables) {
  EXPECT_EQ(Thousands(0), "0");
  EXPECT_EQ(Thousands(999), "999");
  EXPECT_EQ(Thousands(19024513), "19,024,513");
  EXPECT_EQ(Thousands(-1234), "-1,234");
  EXPECT_EQ(Bytes(999), "999 B");
  EXPECT_EQ(Bytes(17'800'000), "17.8 MB");
  EXPECT_EQ(Duration(1.25), "1.2s");
  EXPECT_EQ(Duration(59.6), "1m 00s");
  EXPECT_EQ(Duration(185), "3m 05s");
  EXPECT_EQ(Duration(7620), "2h 07m");
  EXPECT_EQ(Duration(-1), "?");
  EXPECT_EQ(Table({{"NAME", "N"}, {"pets", "5"}, {"müsli", "10"}}, {false, true}), "NAME    N\npets    5\nmüsli  10\n");
  EXPECT_EQ(ClippedToColumns("müsli", 2), "mü");
  EXPECT_EQ(Padded("mü", 4), "mü  ");
  EXPECT_EQ(Padded("mü", 4, true), "  mü");
  EXPECT_EQ(Bar(0.5, 4), "[##..]");
  EXPECT_EQ(Bar(7, 4), "[####]");
}

}  // namespace
}  // namespace graft
