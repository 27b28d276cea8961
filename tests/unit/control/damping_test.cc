// SPDX-License-Identifier: Apache-2.0
// Damping: the closed form of RFC 2439's penalty.
#include "control/judge/damping.h"

#include <vector>

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;

constexpr Penalty::TimePoint kStart{std::chrono::hours(1)};
constexpr DampingRule kRule;

TEST(Penalty, OfOneFallHoldsNobody) {
  Penalty penalty;
  EXPECT_EQ(penalty.at(kStart, kRule), 0);
  penalty.add_fall(kStart, kRule);
  EXPECT_DOUBLE_EQ(penalty.at(kStart, kRule), 1000);
  EXPECT_FALSE(penalty.holds(kStart, kRule));
  EXPECT_EQ(penalty.left(kStart, kRule).count(), 0);
}

TEST(Penalty, FadesByHalfInEachHalfLife) {
  Penalty penalty;
  penalty.add_fall(kStart, kRule);
  EXPECT_DOUBLE_EQ(penalty.at(kStart + 60s, kRule), 500);
  EXPECT_DOUBLE_EQ(penalty.at(kStart + 180s, kRule), 125);
}

TEST(Penalty, OfThreeFallsAtOnceHoldsForTwoHalfLives) {
  Penalty penalty;
  for (int fall = 0; fall < 3; ++fall) {
    penalty.add_fall(kStart, kRule);
  }
  EXPECT_DOUBLE_EQ(penalty.at(kStart, kRule), 3000);
  EXPECT_DOUBLE_EQ(penalty.left(kStart, kRule).count(), 120);
  EXPECT_TRUE(penalty.holds(kStart + 119s, kRule));
  EXPECT_FALSE(penalty.holds(kStart + 121s, kRule));
}

// 1000 / (1 - 2^(-1/3)) = 4847 is where it would go.
TEST(Penalty, OfAFallEveryTwentySecondsHoldsFromTheFourthOn) {
  Penalty penalty;
  const std::vector<double> expected = {1000, 1793.7, 2423.7, 2923.7};
  for (std::size_t fall = 0; fall < expected.size(); ++fall) {
    const auto now = kStart + fall * 20s;
    EXPECT_FALSE(penalty.holds(now, kRule)) << fall;
    penalty.add_fall(now, kRule);
    EXPECT_NEAR(penalty.at(now, kRule), expected[fall], 0.05);
  }
  EXPECT_TRUE(penalty.holds(kStart + 60s, kRule));
  for (std::size_t fall = 4; fall < 200; ++fall) {
    penalty.add_fall(kStart + fall * 20s, kRule);
  }
  EXPECT_NEAR(penalty.at(kStart + 199 * 20s, kRule), 4847.3, 0.05);
}

TEST(Penalty, HoldsNobodyForLongerThanSaid) {
  Penalty penalty;
  EXPECT_DOUBLE_EQ(kRule.ceiling(), 24'000);
  for (int fall = 0; fall < 1000; ++fall) {
    penalty.add_fall(kStart, kRule);
  }
  EXPECT_DOUBLE_EQ(penalty.at(kStart, kRule), 24'000);
  EXPECT_DOUBLE_EQ(penalty.left(kStart, kRule).count(), 300);
}

TEST(Penalty, ThatHasFadedHoldsAnewOnlyWhenItReachesSuppressAgain) {
  Penalty penalty;
  for (int fall = 0; fall < 3; ++fall) {
    penalty.add_fall(kStart, kRule);
  }
  penalty.add_fall(kStart + 60s, kRule);  // 2500: held all the time
  EXPECT_TRUE(penalty.holds(kStart + 60s, kRule));
  penalty.add_fall(kStart + 300s, kRule);  // 156 + 1000
  EXPECT_FALSE(penalty.holds(kStart + 300s, kRule));
}

TEST(Penalty, IsForgottenWhenCleared) {
  Penalty penalty;
  for (int fall = 0; fall < 3; ++fall) {
    penalty.add_fall(kStart, kRule);
  }
  penalty.clear();
  EXPECT_EQ(penalty, Penalty());
  EXPECT_FALSE(penalty.holds(kStart, kRule));
}

}  // namespace
}  // namespace holdfast::control
