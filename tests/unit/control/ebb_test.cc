// SPDX-License-Identifier: Apache-2.0
// The estimate of a drain's end against flows that do end at a common rate.
#include "control/engine/ebb.h"

#include <cmath>

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;

const Clock::TimePoint kEbbStart{1h};

TEST(Ebb, SaysNothingBeforeAFlowHasEnded) {
  Ebb ebb;
  EXPECT_FALSE(ebb.left());
  ebb.note(kEbbStart, 10);
  EXPECT_FALSE(ebb.left());
  ebb.note(kEbbStart + 5s, 10);
  EXPECT_FALSE(ebb.left());
  ebb.note(kEbbStart + 7s, 12);
  EXPECT_FALSE(ebb.left());
}

TEST(Ebb, ForetellsTheEndOfFlowsThatLiveAMinuteOnAverage) {
  Ebb ebb;
  for (int second = 0; second <= 20; ++second) {
    ebb.note(kEbbStart + std::chrono::seconds(second),
             static_cast<std::uint64_t>(std::lround(1000 * std::exp(-second / 60.0))));
  }
  // 717 are left; H(717) is 7.15.
  EXPECT_NEAR(ebb.left()->count(), 60 * 7.15, 3);
}

TEST(Ebb, ForgetsWhatIsLongerAgoThanItsWindow) {
  Ebb ebb;
  ebb.note(kEbbStart, 1000);
  ebb.note(kEbbStart + 1s, 100);
  ebb.note(kEbbStart + 90s, 100);
  EXPECT_FALSE(ebb.left());
}

TEST(Ebb, ExpectsTheLastFlowAfterItsMeanAndKnowsWhenItIsOver) {
  Ebb ebb;
  ebb.note(kEbbStart, 2);
  ebb.note(kEbbStart + 500ms, 1);  // too soon, left out
  EXPECT_FALSE(ebb.left());
  ebb.note(kEbbStart + 10s, 1);
  EXPECT_NEAR(ebb.left()->count(), 10 / std::log(2.0), 1.2);
  ebb.note(kEbbStart + 20s, 0);
  EXPECT_EQ(ebb.left()->count(), 0);
}

}  // namespace
}  // namespace holdfast::control
