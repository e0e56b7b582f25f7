#include "server/rpc/byte_budget.h"

#include <optional>

#include "gtest/gtest.h"

namespace graft {
namespace {

TEST(ByteBudgetTest, WhatDoesNotFitIsRefusedAndWhatIsThereAlreadyIsCounted) {
  ByteBudget budget(100);
  std::optional<ByteBudget::Reservation> most = budget.TryTake(90);
  ASSERT_TRUE(most.has_value());
  EXPECT_FALSE(budget.TryTake(11).has_value());
  EXPECT_TRUE(budget.HasRoom());
  {
    const ByteBudget::Reservation come = budget.Take(50);
    EXPECT_EQ(budget.used(), 140);
    EXPECT_FALSE(budget.HasRoom());
  }
  EXPECT_EQ(budget.used(), 90);
  EXPECT_EQ(budget.peak(), 140);
  most.reset();
  EXPECT_EQ(budget.used(), 0);
}

TEST(ByteBudgetTest, WhoWaitsForRoomIsCalledOnceThereIsSome) {
  ByteBudget budget(100);
  int called = 0;
  budget.WhenRoom([&] { ++called; });
  EXPECT_EQ(called, 1);
  std::optional<ByteBudget::Reservation> full = budget.TryTake(100);
  std::optional<ByteBudget::Reservation> over = budget.Take(50);
  budget.WhenRoom([&] { ++called; });
  budget.WhenRoom([&] { ++called; });
  over.reset();  // exactly full
  EXPECT_EQ(called, 1);
  full.reset();
  EXPECT_EQ(called, 3);
}

TEST(ByteBudgetTest, AReservationThatWasMovedIsGivenBackOnce) {
  ByteBudget budget(100);
  {
    ByteBudget::Reservation first = budget.Take(10);
    ByteBudget::Reservation second = std::move(first);
    first = budget.Take(20);
    EXPECT_EQ(budget.used(), 30);
  }
  EXPECT_EQ(budget.used(), 0);
}

}  // namespace
}  // namespace graft
