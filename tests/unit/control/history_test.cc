// SPDX-License-Identifier: Apache-2.0
// A check's last results: the newest first, 64 at the most.
#include "control/probe/history.h"

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;

TEST(History, TellsTheNewestFirst) {
  History history;
  EXPECT_TRUE(history.newest_first().empty());
  history.add({.layer = Layer::kL4, .reason = Reason::kOk, .duration = 1500us, .lateness = 20us},
              7);
  history.add({.layer = Layer::kL7, .reason = Reason::kStatus, .detail = 503}, 8);
  const std::vector<PastResult> results = history.newest_first();
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].detail, 503);
  EXPECT_EQ(results[0].reason, Reason::kStatus);
  EXPECT_EQ(results[1].unix_ms, 7);
  EXPECT_EQ(results[1].duration_us, 1500U);
  EXPECT_EQ(results[1].lateness_us, 20U);
}

TEST(History, KeepsTheLastSixtyFour) {
  History history;
  for (std::int64_t time = 0; time < 1000; ++time) {
    history.add({}, time);
    const std::vector<PastResult> results = history.newest_first();
    ASSERT_EQ(results.front().unix_ms, time);
    ASSERT_EQ(results.size(), std::min<std::size_t>(static_cast<std::size_t>(time) + 1, 64));
    ASSERT_EQ(results.back().unix_ms, std::max<std::int64_t>(time - 63, 0));
  }
}

TEST(History, HoldsTimesThatAreOutOfRange) {
  History history;
  history.add({.duration = -5s, .lateness = 9'000'000s}, 1);
  EXPECT_EQ(history.newest_first()[0].duration_us, 0U);
  EXPECT_EQ(history.newest_first()[0].lateness_us, UINT32_MAX);
}

}  // namespace
}  // namespace holdfast::control
