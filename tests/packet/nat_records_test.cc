// SPDX-License-Identifier: Apache-2.0
// Mode `nat` with every record in use: flows that are over give way before the sweep comes by, and
// no others.
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"

#include <cstdint>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::Mode;
using dataplane::Verdict;

// More than twice as many as one call of the sweeper visits.
constexpr std::uint32_t kRecords = 10'000;
constexpr std::uint32_t kTriesForAll = (kRecords + 63) / 64;

enum class ClosedBy : std::uint8_t { kNobody, kClient, kMember };

struct OpenedRecord {
  Endpoint client;
  Translated flow;
};

OpenedRecord open(Appliance& appliance, std::uint32_t number) {
  const Endpoint client = numbered_client(number);
  const Outcome syn = appliance.send(tcp(client, kVip).syn());
  EXPECT_EQ(syn.verdict, Verdict::kForward);
  const Translated flow = translated(syn);
  appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  appliance.send(tcp(client, kVip).ack());
  return {.client = client, .flow = flow};
}

// Both sides close, this one first.
void close(Appliance& appliance, const OpenedRecord& one, ClosedBy first) {
  const auto client_closes = [&] { appliance.send(tcp(one.client, kVip).fin().ack()); };
  if (first == ClosedBy::kClient) {
    client_closes();
  }
  appliance.send(tcp(one.flow.backend, one.flow.pool).fin().ack(), kLan);
  if (first == ClosedBy::kMember) {
    client_closes();
  }
}

// All records of one worker, each of a flow that was opened and closed just now.
class FullOfRecords : public ::testing::Test {
 protected:
  void fill(ClosedBy first) {
    appliance_.advance(999);  // a second is over at once
    for (std::uint32_t i = 0; i < kRecords; ++i) {
      flows_.push_back(open(appliance_, i));
      if (first != ClosedBy::kNobody) {
        close(appliance_, flows_.back(), first);
      }
    }
    ASSERT_EQ(appliance_.solo().worker().tables.nat.used(), kRecords);
  }
  // The drop reason when the next client's SYN was dropped.
  std::optional<Drop> connect() { return establish(appliance_, numbered_client(next_client_++)); }
  // How many connect before one does not, up to `most`.
  std::uint32_t connections(std::uint32_t most) {
    std::uint32_t count = 0;
    while (count < most && !connect()) {
      ++count;
    }
    return count;
  }

  Appliance appliance_{three_backends(Mode::kNat), kRecords};
  std::vector<OpenedRecord> flows_;
  std::uint32_t next_client_ = 20'000;
};

TEST_F(FullOfRecords, FlowsThatAreOverGiveWayBeforeTheyAreSweptAway) {
  fill(ClosedBy::kClient);
  appliance_.advance(2002);
  EXPECT_EQ(connections(kRecords + 1), kRecords);
  EXPECT_EQ(appliance_.stats().drops[static_cast<std::size_t>(Drop::kNatTableFull)].get(), 1U);
  EXPECT_EQ(appliance_.stats().flows_ended.get(), kRecords);
}

TEST_F(FullOfRecords, FlowsInTheirQuarantineDoNotGiveWay) {
  fill(ClosedBy::kClient);
  appliance_.advance(2000);
  EXPECT_EQ(connect(), Drop::kNatTableFull);
}

TEST_F(FullOfRecords, WhatTheMemberMayHoldInTimeWaitDoesNotGiveWay) {
  fill(ClosedBy::kMember);
  appliance_.advance(60'000);
  EXPECT_EQ(connect(), Drop::kNatTableFull);
  appliance_.advance(1001);
  EXPECT_EQ(connect(), std::nullopt);
}

TEST_F(FullOfRecords, EstablishedFlowsDoNotGiveWay) {
  fill(ClosedBy::kNobody);
  for (std::uint32_t i = 0; i < 2 * kTriesForAll; ++i) {
    EXPECT_EQ(connect(), Drop::kNatTableFull);
  }
  for (const OpenedRecord& one : flows_) {
    ASSERT_EQ(appliance_.send(tcp(one.client, kVip).ack()).verdict, Verdict::kForward);
  }
}

// A new flow looks at 64 records at most, so that no SYN costs much; together they find all.
TEST_F(FullOfRecords, TheOnlyFlowThatIsOverIsFoundWhereverItIs) {
  for (const std::uint32_t where : {0U, kRecords / 3, kRecords - 1}) {
    SCOPED_TRACE(where);
    if (flows_.empty()) {
      fill(ClosedBy::kNobody);
    }
    close(appliance_, flows_[where], ClosedBy::kClient);
    appliance_.advance(3000);
    // The sweeper's only visits here are of flows that live, as far as it comes in one call.
    std::uint32_t tries = 1;
    while (tries <= kTriesForAll && connect()) {
      ++tries;
    }
    EXPECT_LE(tries, kTriesForAll);
    EXPECT_EQ(connect(), Drop::kNatTableFull);
  }
}

// A flow of an earlier second that has been looked at is not over before the next one.
TEST_F(FullOfRecords, NoRecordIsLookedAtTwiceInOneSecond) {
  fill(ClosedBy::kNobody);
  appliance_.advance(3000);
  const auto looked_at = [&](std::uint32_t tries) {
    const std::size_t before = appliance_.solo().worker().sweep_position.nat;
    for (std::uint32_t i = 0; i < tries; ++i) {
      EXPECT_EQ(connect(), Drop::kNatTableFull);
    }
    return (appliance_.solo().worker().sweep_position.nat + kRecords - before) % kRecords;
  };
  looked_at(1);  // and the sweeper, once in this millisecond
  EXPECT_EQ(looked_at(1), 64U);
  looked_at(kTriesForAll);
  EXPECT_EQ(looked_at(100), 0U);
}

}  // namespace
}  // namespace holdfast::testing
