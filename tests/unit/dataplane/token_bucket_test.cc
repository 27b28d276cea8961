// SPDX-License-Identifier: Apache-2.0
#include "dataplane/token_bucket.h"

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

int taken(TokenBucket& bucket, std::uint64_t now_ms, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) {
    count += bucket.take(now_ms) ? 1 : 0;
  }
  return count;
}

TEST(TokenBucket, GivesItsBurstAtOnceAndThenItsRate) {
  TokenBucket bucket(1000, 200);
  EXPECT_EQ(taken(bucket, 5'000'000, 1000), 200);
  EXPECT_EQ(taken(bucket, 5'000'001, 10), 1);
  EXPECT_EQ(taken(bucket, 5'000'051, 100), 50);
  EXPECT_EQ(taken(bucket, 5'000'051, 100), 0);
  EXPECT_EQ(taken(bucket, 9'000'000, 1000), 200);
}

TEST(TokenBucket, RoundsNothing) {
  TokenBucket bucket(3, 1);
  ASSERT_TRUE(bucket.take(0));
  int count = 0;
  for (std::uint64_t now = 1; now <= 10'000; ++now) {
    count += taken(bucket, now, 2);
  }
  EXPECT_EQ(count, 29) << "the 30th is complete at 10 020 ms, since a full bucket takes no more";
}

TEST(TokenBucket, IsFullFromTheFirstMomentOfTheClock) {
  TokenBucket bucket(10, 5);
  EXPECT_EQ(taken(bucket, 0, 10), 5);
  EXPECT_EQ(taken(bucket, 99, 10), 0);
  EXPECT_EQ(taken(bucket, 100, 10), 1);
}

TEST(TokenBucket, TakesATimeThatRunsBackwardForStandingStill) {
  TokenBucket bucket(1000, 2);
  EXPECT_EQ(taken(bucket, 1000, 5), 2);
  EXPECT_EQ(taken(bucket, 10, 5), 0);
  EXPECT_EQ(taken(bucket, 1000, 5), 0);
  EXPECT_EQ(taken(bucket, 1001, 5), 1);
}

TEST(TokenBucket, HasNoOverflowAtItsLimits) {
  TokenBucket bucket(0xffffffff, 0xffffffff);
  EXPECT_TRUE(bucket.take(0));
  EXPECT_TRUE(bucket.take(~std::uint64_t{0}));
  TokenBucket never(0, 1);
  EXPECT_EQ(taken(never, 0, 3), 1);
  EXPECT_EQ(taken(never, ~std::uint64_t{0}, 3), 0);
  TokenBucket nothing(1000, 0);
  EXPECT_FALSE(nothing.take(1'000'000));
}

int taken(SharedBudget& budget, std::uint64_t source, std::uint64_t now_ms, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) {
    count += budget.take(source, now_ms) ? 1 : 0;
  }
  return count;
}

TEST(SharedBudget, GivesOneSourceAQuarter) {
  SharedBudget budget(1000, 200);
  EXPECT_EQ(taken(budget, 7, 5'000'000, 1000), 50);
  EXPECT_EQ(taken(budget, 7, 5'000'080, 1000), 20);
  EXPECT_EQ(taken(budget, 7 + SharedBudget::kGroups, 5'000'080, 1000), 0) << "the same group";
}

TEST(SharedBudget, GivesTheOthersWhatOneSourceIsRefused) {
  SharedBudget budget(1000, 200);
  taken(budget, 7, 5'000'000, 1000);
  for (std::uint64_t source = 8; source < 11; ++source) {
    EXPECT_EQ(taken(budget, source, 5'000'000, 50), 50);
  }
}

TEST(SharedBudget, GivesAllTogetherNoMoreThanTheWhole) {
  SharedBudget budget(1000, 200);
  const auto taken_by_all = [&](std::uint64_t now_ms) {
    int count = 0;
    for (std::uint64_t source = 0; source < SharedBudget::kGroups; ++source) {
      count += taken(budget, source, now_ms, 100);
    }
    return count;
  };
  EXPECT_EQ(taken_by_all(5'000'000), 200);
  EXPECT_EQ(taken_by_all(5'000'100), 100);
}

}  // namespace
}  // namespace holdfast::dataplane
