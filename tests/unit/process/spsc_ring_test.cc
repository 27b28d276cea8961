// SPDX-License-Identifier: Apache-2.0
#include "dataplane/process/spsc_ring.h"

#include <thread>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

TEST(SpscRing, RefusesWhenFullAndIsEmptyWhenDrained) {
  SpscRing<int, 4> ring;
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(ring.push(i));
  }
  EXPECT_FALSE(ring.push(4));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(ring.pop(), i);
  }
  EXPECT_EQ(ring.pop(), std::nullopt);
  EXPECT_TRUE(ring.empty());
}

TEST(SpscRing, KeepsTheOrderBetweenTwoThreads) {
  constexpr int kValues = 100'000;
  SpscRing<int, 64> ring;
  std::thread producer([&] {
    for (int i = 0; i < kValues;) {
      if (ring.push(i)) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (int expected = 0; expected < kValues;) {
    if (const auto value = ring.pop()) {
      ASSERT_EQ(*value, expected);
      ++expected;
    } else {
      std::this_thread::yield();
    }
  }
  producer.join();
}

}  // namespace
}  // namespace holdfast::dataplane
