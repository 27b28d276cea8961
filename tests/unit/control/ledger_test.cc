// SPDX-License-Identifier: Apache-2.0
// Whose what moved is: growth between readings goes to the newest event about the service.
#include "control/engine/ledger.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using std::chrono_literals::operator""s;

LedgerTotals totals(const std::string& service, std::uint64_t moved, std::uint64_t reset = 0) {
  LedgerTotals all;
  all.services[service] = {.moved = {{"reset", moved}}, .untracked = 0, .reset = reset};
  return all;
}

class LedgerTest : public ::testing::Test {
 protected:
  void open(const std::string& kind,
            const std::vector<std::string>& services = {},
            const std::string& object = "") {
    ledger.open({.kind = kind, .object = object, .services = services}, 1'000, now);
  }
  void count(const LedgerTotals& all) { ledger.count(all, now); }
  EventView event(std::uint64_t number) const {
    for (const EventView& one : ledger.since(0).events) {
      if (one.number == number) {
        return one;
      }
    }
    return {};
  }
  std::uint64_t moved(std::uint64_t number) const {
    const EventView one = event(number);
    std::uint64_t sum = 0;
    for (const ServiceMovesView& service : one.services) {
      for (const NamedCount& cause : service.moves.moved) {
        sum += cause.value;
      }
    }
    return sum;
  }

  Ledger ledger{7};
  Clock::TimePoint now{1'000s};
};

TEST_F(LedgerTest, WhatMovedBeforeTheFirstReadingIsNobodys) {
  open("adopted");
  count(totals("web", 40));
  EXPECT_EQ(moved(1), 0U);
  count(totals("web", 43));
  EXPECT_EQ(moved(1), 3U);
}

TEST_F(LedgerTest, GrowthBelongsToTheNewestEventAboutTheService) {
  count({});
  open("reload");
  count(totals("web", 2));
  open("drain", {"web"});
  open("drain", {"dns"});
  count(totals("web", 5, 1));
  EXPECT_EQ(moved(1), 2U);
  EXPECT_EQ(moved(2), 3U);
  EXPECT_EQ(event(2).services.at(0).moves.reset, 1U);
  EXPECT_EQ(moved(3), 0U);
  open("reload");
  count(totals("web", 6, 1));
  EXPECT_EQ(moved(4), 1U);
}

TEST_F(LedgerTest, ADataplaneThatWasStartedAnewCountsFromZero) {
  count(totals("web", 100));
  ledger.restart_counts();
  open("dataplane_started");
  count(totals("web", 2));
  EXPECT_EQ(moved(1), 2U);
}

TEST_F(LedgerTest, FramesAreCountedUntilTheNewestEventHasSettled) {
  count({});
  open("reload");
  LedgerTotals all;
  all.frames = {.held = 1, .released = 2, .dropped = 3};
  count(all);
  EXPECT_EQ(event(1).frames.dropped, 3U);
  now += Ledger::kSettled;
  EXPECT_TRUE(ledger.settle(now));
  EXPECT_FALSE(ledger.settle(now));
  all.frames.dropped = 30;
  count(all);
  EXPECT_EQ(event(1).frames.dropped, 3U);
  EXPECT_EQ(event(1).frames.held, 1U);
  EXPECT_TRUE(event(1).settled);
}

TEST_F(LedgerTest, WhatMovesLaterOpensASettledEventAgain) {
  count({});
  open("member_down", {"web"}, "web/a");
  now += Ledger::kSettled;
  ledger.settle(now);
  count(totals("web", 1));
  EXPECT_FALSE(event(1).settled);
  EXPECT_EQ(moved(1), 1U);
}

TEST_F(LedgerTest, AReaderIsToldWhatChangedSinceInThatOrder) {
  count({});
  open("reload");
  open("drain", {"web"});
  const std::uint64_t seen = ledger.changes();
  EXPECT_TRUE(ledger.since(seen).events.empty());
  open("drain", {"dns"});
  count(totals("web", 1));
  const EventsView view = ledger.since(seen);
  ASSERT_EQ(view.events.size(), 2U);
  EXPECT_EQ(view.events[0].number, 3U);
  EXPECT_EQ(view.events[1].number, 2U);
  EXPECT_EQ(view.life, 7U);
  EXPECT_EQ(view.change, ledger.changes());
  EXPECT_FALSE(view.gap);
}

TEST_F(LedgerTest, KeepsALimitedNumberAndSaysWhenSomeAreGone) {
  for (std::size_t i = 0; i < Ledger::kKept + 10; ++i) {
    open("reload");
  }
  EXPECT_EQ(ledger.since(0).events.size(), Ledger::kKept);
  EXPECT_TRUE(ledger.since(9).gap);
  EXPECT_FALSE(ledger.since(10).gap);
}

TEST_F(LedgerTest, NamesSoManyServicesAndCountsTheOthersTogether) {
  count({});
  open("reload");
  LedgerTotals all;
  for (std::size_t i = 0; i < Ledger::kServices + 5; ++i) {
    all.services["s" + std::to_string(i)] = {.moved = {{"reset", 2}}};
  }
  count(all);
  EXPECT_EQ(event(1).services.size(), Ledger::kServices + 1);
  EXPECT_EQ(event(1).services.back().service, Ledger::kOthers);
  EXPECT_EQ(event(1).services.back().moves.moved.at(0).value, 10U);
  EXPECT_EQ(moved(1), 2 * (Ledger::kServices + 5));
}

TEST_F(LedgerTest, WhatTwoSawIsOneEvent) {
  open("drain_deadline", {"web"}, "web/a");
  open("drain_deadline", {"web"}, "web/a");
  open("drain_deadline", {"web"}, "web/b");
  EXPECT_EQ(ledger.since(0).events.size(), 2U);
  now += Ledger::kSameEvent;
  open("drain_deadline", {"web"}, "web/a");
  EXPECT_EQ(ledger.since(0).events.size(), 3U);
}

}  // namespace
}  // namespace holdfast::control
