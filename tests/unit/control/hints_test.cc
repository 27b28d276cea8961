// SPDX-License-Identifier: Apache-2.0
// Hints of a member's traffic: believed until its check refutes them, and then ever more rarely.
#include "control/judge/hints.h"

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;

constexpr Hints::TimePoint kHintsStart{std::chrono::hours(1)};

// Taken up and refuted at once.
void refuted(Hints& hints, Hints::TimePoint now) {
  ASSERT_TRUE(hints.believed(now));
  hints.take(now);
  hints.refute(now);
}

TEST(Hints, AreBelievedAtFirst) { EXPECT_TRUE(Hints().believed(kHintsStart)); }

TEST(Hints, AreBelievedAgainAfterAWaitThatDoubles) {
  Hints hints;
  Hints::TimePoint now = kHintsStart;
  for (const auto wait : {1s, 2s, 4s, 8s, 16s, 32s, 64s, 64s}) {
    refuted(hints, now);
    EXPECT_FALSE(hints.believed(now + wait - 1ms)) << wait.count();
    now += wait;
  }
  EXPECT_TRUE(hints.believed(now));
}

TEST(Hints, AreBelievedAsAtFirstAfterALongTime) {
  Hints hints;
  refuted(hints, kHintsStart);
  refuted(hints, kHintsStart + 1s);
  refuted(hints, kHintsStart + 15min);
  EXPECT_TRUE(hints.believed(kHintsStart + 15min + 1s));
}

TEST(Hints, AreBelievedAsAtFirstOnceTheyWereRight) {
  Hints hints;
  refuted(hints, kHintsStart);
  refuted(hints, kHintsStart + 1s);
  hints.take(kHintsStart + 3s);
  hints.confirm();
  EXPECT_TRUE(hints.believed(kHintsStart + 3s));
}

TEST(Hints, AreNotRefutedByAProbeThatBeganBefore) {
  Hints hints;
  EXPECT_FALSE(hints.newer_than(kHintsStart));
  hints.take(kHintsStart);
  EXPECT_TRUE(hints.newer_than(kHintsStart - 1ms));
  EXPECT_FALSE(hints.newer_than(kHintsStart));
}

}  // namespace
}  // namespace holdfast::control
