// SPDX-License-Identifier: Apache-2.0
// What ends a sleep, and how long one lasts.
#include "dataplane/process/waker.h"

#include "dataplane/process/idle.h"

#include <atomic>
#include <memory>
#include <thread>

#include <gtest/gtest.h>
#include <poll.h>

namespace holdfast::dataplane {
namespace {

std::unique_ptr<Waker> make_waker() {
  auto waker = Waker::create();
  EXPECT_TRUE(waker.has_value());
  return std::move(*waker);
}

bool is_called(const Waker& waker) {
  pollfd polled{.fd = waker.descriptor(), .events = POLLIN, .revents = 0};
  return ::poll(&polled, 1, 0) == 1;
}

TEST(Waker, CostsNoSystemCallWhereNobodySleeps) {
  const auto waker = make_waker();
  waker->wake();
  EXPECT_FALSE(is_called(*waker));
}

TEST(Waker, EndsTheSleepThatItsOwnerArmed) {
  const auto waker = make_waker();
  waker->arm();
  EXPECT_FALSE(is_called(*waker));
  waker->wake();
  EXPECT_TRUE(is_called(*waker));
  waker->disarm();
  EXPECT_FALSE(is_called(*waker));
}

TEST(Waker, IsNotReadableForEverAfterACallThatCameLate) {
  const auto waker = make_waker();
  waker->arm();
  waker->wake();
  waker->arm();  // as if the one who called had written only now
  EXPECT_TRUE(is_called(*waker));
  waker->disarm();
  EXPECT_FALSE(is_called(*waker));
}

TEST(Waker, NothingIsSleptOver) {
  constexpr int kItems = 20'000;
  const auto waker = make_waker();
  std::atomic<int> offered{0};
  std::atomic<int> taken{0};
  std::thread giver([&] {
    for (int i = 1; i <= kItems; ++i) {
      offered.store(i, std::memory_order_release);
      waker->wake();
      while (taken.load(std::memory_order_acquire) < i) {
        std::this_thread::yield();
      }
    }
  });
  while (taken.load(std::memory_order_relaxed) < kItems) {
    waker->arm();
    const int now = offered.load(std::memory_order_acquire);
    if (now == taken.load(std::memory_order_relaxed)) {
      pollfd polled{.fd = waker->descriptor(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(::poll(&polled, 1, 10'000), 1) << "slept over " << now;
    }
    waker->disarm();
    taken.store(offered.load(std::memory_order_acquire), std::memory_order_release);
  }
  giver.join();
}

TEST(Idle, PollsThenPausesThenNapsThenWaits) {
  EXPECT_EQ(rest_after(1, Told::kAll).kind, RestKind::kPoll);
  EXPECT_EQ(rest_after(kTurnsWithoutPause + 1, Told::kAll).kind, RestKind::kPause);
  EXPECT_EQ(rest_after(kTurnsWithoutSleep, Told::kAll).kind, RestKind::kPause);
  EXPECT_EQ(rest_after(kTurnsWithoutSleep + 1, Told::kAll),
            (Rest{.kind = RestKind::kNap, .most_ns = kShortestNapNs}));
  EXPECT_EQ(rest_after(kTurnsUntilWait - 1, Told::kAll),
            (Rest{.kind = RestKind::kNap, .most_ns = kLongestNapNs}));
  EXPECT_EQ(rest_after(kTurnsUntilWait, Told::kAll),
            (Rest{.kind = RestKind::kWait, .most_ns = kLongestWaitForFramesNs}));
}

TEST(Idle, LooksRoundForWhatNoPortTellsOf) {
  for (std::uint32_t empty = 1; empty < 2 * kTurnsUntilWait; ++empty) {
    EXPECT_LE(rest_after(empty, Told::kNotAll).most_ns, kLongestNapNs);
  }
}

}  // namespace
}  // namespace holdfast::dataplane
