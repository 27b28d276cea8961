// SPDX-License-Identifier: Apache-2.0
#include "dataplane/flow_table.h"

#include "dataplane/hash.h"

#include <optional>
#include <random>
#include <unordered_map>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

const FlowHasher kHasher({1});

FlowKey key_of(std::uint32_t flow) {
  return {.source = Address::v4(Be32::from_host(0x0a000000 + flow / 60'000)),
          .destination = Address::v4(Be32::from_host(0xcb00710a)),
          .source_port = Be16::from_host(static_cast<std::uint16_t>(1 + flow % 60'000)),
          .destination_port = Be16::from_host(80),
          .protocol = Protocol::kTcp};
}

struct Table {
  std::vector<FlowTable4::Bucket> buckets;
  FlowTable4 table;

  std::optional<std::uint32_t> over;  // the flow whose time is over
  std::vector<std::uint32_t> evicted;

  explicit Table(std::size_t count) : buckets(count), table(buckets) {}

  FlowEntry4* insert(std::uint32_t flow, FlowState state = FlowState::kEstablished) {
    const FlowKey key = key_of(flow);
    const auto rehash = [](const FlowEntry4& entry) {
      return kHasher({.source = entry.source_address(),
                      .destination = key_of(0).destination,
                      .source_port = Be16::from_wire(entry.source_port),
                      .destination_port = Be16::from_wire(entry.destination_port),
                      .protocol = Protocol::kTcp});
    };
    FlowEntry4* entry = table.make_room(
        kHasher(key),
        state,
        rehash,
        [this](const FlowEntry4& resident) { return resident.member == over; },
        [this](const FlowEntry4& resident) { evicted.push_back(resident.member); });
    if (entry != nullptr) {
      entry->set_key(key, 5);
      entry->member = static_cast<std::uint16_t>(flow);
      table.set_state(*entry, state);
    }
    return entry;
  }
  FlowEntry4* find(std::uint32_t flow) const {
    return table.find(kHasher(key_of(flow)), key_of(flow), 5);
  }
};

TEST(FlowTable, FindsWhatWasInsertedAndNothingElse) {
  Table t(64);
  ASSERT_NE(t.insert(1), nullptr);
  ASSERT_NE(t.find(1), nullptr);
  EXPECT_EQ(t.find(1)->member, 1);
  EXPECT_EQ(t.find(2), nullptr);
  EXPECT_EQ(t.table.find(kHasher(key_of(1)), key_of(1), 6), nullptr) << "another binding";
}

TEST(FlowTable, IsFlatToSeventyPercentFull) {
  // Several tables: of one whose flows only just have their places, luck may decide.
  for (std::uint32_t first = 0; first < 40'000'000; first += 4'000'000) {
    Table t(FlowTable4::buckets_for(100'000));
    const auto end = first + static_cast<std::uint32_t>(t.table.capacity() * 7 / 10);
    std::uint32_t untracked = 0;
    for (std::uint32_t flow = first; flow < end; ++flow) {
      untracked += t.insert(flow) == nullptr ? 1U : 0U;
    }
    EXPECT_EQ(untracked, 0U) << first;
    for (std::uint32_t flow = first; flow < end; ++flow) {
      ASSERT_NE(t.find(flow), nullptr) << flow;
      ASSERT_EQ(t.find(flow)->member, static_cast<std::uint16_t>(flow));
    }
  }
}

TEST(FlowTable, LeavesAFlowUntrackedWhenFullAndKeepsTheOthers) {
  Table t(2);
  std::vector<std::uint32_t> kept;
  for (std::uint32_t flow = 0; flow < 20; ++flow) {
    if (t.insert(flow) != nullptr) {
      kept.push_back(flow);
    }
  }
  EXPECT_EQ(kept.size(), 8U);
  for (const std::uint32_t flow : kept) {
    EXPECT_NE(t.find(flow), nullptr);
  }
}

TEST(FlowTable, HalfOpenFlowsTakeAQuarterAndGiveWay) {
  Table t(16);
  std::uint32_t half_open = 0;
  for (std::uint32_t flow = 0; flow < 64; ++flow) {
    half_open += t.insert(flow, FlowState::kHalfOpen) != nullptr ? 1U : 0U;
  }
  EXPECT_EQ(half_open, 16U);
  std::uint32_t established = 0;
  for (std::uint32_t flow = 100; flow < 400; ++flow) {
    established += t.insert(flow) != nullptr ? 1U : 0U;
  }
  EXPECT_EQ(established, 64U);
  EXPECT_EQ(t.table.half_open(), 0U);
}

TEST(FlowTable, UnprovenFlowsTakeAQuarterAndInAFullTableThePlaceOfHalfOpenOnes) {
  Table t(16);
  for (std::uint32_t flow = 0; t.table.used() < 48; ++flow) {
    t.insert(flow);
  }
  for (std::uint32_t flow = 1000; flow < 1200; ++flow) {
    t.insert(flow, FlowState::kHalfOpen);
  }
  EXPECT_EQ(t.table.half_open(), 16U);
  for (std::uint32_t flow = 2000; flow < 2200; ++flow) {
    t.insert(flow, flow % 2 == 0 ? FlowState::kUnproven : FlowState::kUnprovenEnd);
  }
  EXPECT_EQ(t.table.unproven(), 16U);
  EXPECT_EQ(t.table.half_open(), 0U);
  EXPECT_EQ(t.table.used(), 64U);
}

TEST(FlowState, EachKindOfEntryGivesWayToThoseItShould) {
  using enum FlowState;
  for (const FlowState shown : {kEstablished, kClosing, kUdp, kDoubtful}) {
    for (const FlowState incoming : {kHalfOpen, kUnproven, kUnprovenEnd, kAffinity, kEstablished}) {
      EXPECT_FALSE(gives_way(shown, incoming));
    }
  }
  EXPECT_TRUE(gives_way(kHalfOpen, kUnproven));
  EXPECT_TRUE(gives_way(kUnprovenEnd, kHalfOpen));
  EXPECT_TRUE(gives_way(kAffinity, kUnproven));
  EXPECT_FALSE(gives_way(kAffinity, kHalfOpen));
  EXPECT_FALSE(gives_way(kHalfOpen, kHalfOpen));
  EXPECT_FALSE(gives_way(kUnproven, kUnproven));
  EXPECT_FALSE(gives_way(kHalfOpen, kAffinity));
  EXPECT_FALSE(gives_way(kUnproven, kAffinity));
}

TEST(FlowState, ARstIsTakenBackAFinIsNot) {
  using enum FlowState;
  using enum FlowEvent;
  static_assert(next_state(next_state(kEstablished, kRst), kSegment) == kEstablished);
  static_assert(next_state(next_state(kEstablished, kFin), kSegment) == kClosing);
  static_assert(next_state(next_state(next_state(kEstablished, kFin), kRst), kSegment) == kClosing);
  static_assert(next_state(next_state(next_state(kEstablished, kFin), kSyn), kSegment) ==
                kEstablished);
  static_assert(next_state(next_state(kFree, kFin), kSegment) == kUnprovenEnd);
  static_assert(event_of(Protocol::kTcp, kTcpFin | kTcpRst | kTcpAck) == kRst);
  static_assert(event_of(Protocol::kTcp, kTcpSyn | kTcpAck) == kOdd);
  // No single packet makes more of an entry than a bounded one.
  for (const FlowEvent event : {kSyn, kSegment, kFin, kRst, kOdd, kDatagram}) {
    EXPECT_NE(share_of(next_state(kFree, event)), Share::kUnbounded);
  }
}

TEST(FlowTable, AFullTableGivesThePlaceOfAFlowThatIsOverToAnyOther) {
  for (const FlowState state : {FlowState::kHalfOpen, FlowState::kEstablished}) {
    Table t(2);
    for (std::uint32_t flow = 0; flow < 8; ++flow) {
      ASSERT_NE(t.insert(flow), nullptr);
    }
    EXPECT_EQ(t.insert(100, state), nullptr);
    t.over = 5;
    EXPECT_NE(t.insert(100, state), nullptr);
    EXPECT_EQ(t.evicted, std::vector<std::uint32_t>{5});
    EXPECT_EQ(t.find(5), nullptr);
    EXPECT_NE(t.find(100), nullptr);
    EXPECT_EQ(t.table.used(), 8U);
  }
}

TEST(FlowTable, BehavesLikeAMapUnderRandomUse) {
  Table t(FlowTable4::buckets_for(2000));
  std::unordered_map<std::uint32_t, std::uint16_t> model;
  std::mt19937 random(20261122);
  for (int step = 0; step < 200'000; ++step) {
    const std::uint32_t flow = static_cast<std::uint32_t>(random() % 3000);
    FlowEntry4* entry = t.find(flow);
    ASSERT_EQ(entry != nullptr, model.contains(flow)) << "step " << step;
    if (entry != nullptr && random() % 2 == 0) {
      t.table.clear(*entry);
      model.erase(flow);
    } else if (entry == nullptr && model.size() < 2000 && t.insert(flow) != nullptr) {
      model[flow] = static_cast<std::uint16_t>(flow);
    }
    ASSERT_EQ(t.table.used(), model.size());
  }
}

TEST(FlowTable, AgesAcrossTheWrapOfTheStamp) {
  EXPECT_EQ(age_of(65'530, 5), 11);
  EXPECT_EQ(stamp_of(65'536'000), 0);
}

}  // namespace
}  // namespace holdfast::dataplane
