// SPDX-License-Identifier: Apache-2.0
// Hints of a member's traffic: believed until its check refutes them, and then ever more rarely.
#include "control/judge/hints.h"

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;

constexpr Hints::TimePoint kStart{std::chrono::hours(1)};

// Taken up and refuted at once.
void refuted(Hints& hints, Hints::TimePoint now) {
  ASSERT_TRUE(hints.believed(now));
  hints.take(now);
  hints.refute(now);
}

TEST(Hints, AreBelievedAtFirst) { EXPECT_TRUE(Hints().believed(kStart)); }

TEST(Hints, AreBelievedAgainAfterAWaitThatDoubles) {
  Hints hints;
  Hints::TimePoint now = kStart;
  for (const auto wait : {1s, 2s, 4s, 8s, 16s, 32s, 64s, 64s}) {
    refuted(hints, now);
    EXPECT_FALSE(hints.believed(now + wait - 1ms)) << wait.count();
    now += wait;
  }
  EXPECT_TRUE(hints.believed(now));
}

TEST(Hints, AreBelievedAsAtFirstAfterALongTime) {
  Hints hints;
  refuted(hints, kStart);
  refuted(hints, kStart + 1s);
  refuted(hints, kStart + 15min);
  EXPECT_TRUE(hints.believed(kStart + 15min + 1s));
}

TEST(Hints, AreBelievedAsAtFirstOnceTheyWereRight) {
  Hints hints;
  refuted(hints, kStart);
  refuted(hints, kStart + 1s);
  hints.take(kStart + 3s);
  hints.confirm();
  EXPECT_TRUE(hints.believed(kStart + 3s));
}

TEST(Hints, AreNotRefutedByAProbeThatBeganBefore) {
  Hints hints;
  EXPECT_FALSE(hints.newer_than(kStart));
  hints.take(kStart);
  EXPECT_TRUE(hints.newer_than(kStart - 1ms));
  EXPECT_FALSE(hints.newer_than(kStart));
}

}  // namespace
}  // namespace holdfast::control
