// SPDX-License-Identifier: Apache-2.0
// An operator's walks over the flows of every mode: what they list, and what becomes of flows that
// they reset or move, packet by packet.
#include "tests/packet/every_mode.h"
#include "tests/packet/nat_flow.h"
#include "tests/packet/walk_rig.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::FlowFilter;
using dataplane::FlowFindings;
using dataplane::FlowRow;
using dataplane::FlowState;
using dataplane::Mode;
using dataplane::MoveCause;
using dataplane::Verdict;

constexpr std::uint32_t bit(FlowState state) { return 1U << static_cast<unsigned>(state); }

class FlowWalks : public ::testing::TestWithParam<Mode> {
 protected:
  static bool is_nat() { return GetParam() == Mode::kNat; }
  // Opens a flow whole; returns its backend.
  std::string open(std::uint16_t port) {
    const Outcome syn = rig.appliance.send(tcp(kClient.at_port(port), kVip).syn());
    if (is_nat()) {
      const Translated flow = translated(syn);
      rig.appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    }
    rig.appliance.send(tcp(kClient.at_port(port), kVip).ack());
    return syn.backend;
  }
  Outcome send(std::uint16_t port) {
    return rig.appliance.send(tcp(kClient.at_port(port), kVip).ack().acknowledgment(777));
  }
  // How many of these ports' next segments are answered with a reset.
  std::size_t resets_among(const std::vector<std::uint16_t>& ports) {
    return static_cast<std::size_t>(std::ranges::count_if(
        ports, [&](std::uint16_t port) { return send(port).verdict == Verdict::kReply; }));
  }
  // As many flows of one backend.
  std::vector<std::uint16_t> open_at(const std::string& backend, std::size_t count) {
    std::vector<std::uint16_t> ports;
    while (ports.size() < count) {
      if (open(++last_port_) == backend) {
        ports.push_back(last_port_);
      }
    }
    return ports;
  }

  WalkRig rig{three_backends(GetParam())};

 private:
  std::uint16_t last_port_ = 1'000;
};

INSTANTIATE_TEST_SUITE_P(Modes, FlowWalks, ::testing::ValuesIn(all_modes()), name_of_mode);

// Without `nat`, whose backends have addresses of their own: there is nobody to move to.
class FlowMoves : public FlowWalks {
 public:
  static std::vector<Mode> modes() {
    std::vector<Mode> modes = all_modes();
    std::erase(modes, Mode::kNat);
    return modes;
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, FlowMoves, ::testing::ValuesIn(FlowMoves::modes()), name_of_mode);

TEST_P(FlowWalks, AListTellsWhatEachFlowIs) {
  const std::string backend = open(4'000);
  rig.appliance.send(tcp(kClient.at_port(4'001), kVip).syn());
  rig.pass(3'000, 100);
  const FlowFindings found = rig.list();
  ASSERT_EQ(found.matched, 2U);
  ASSERT_EQ(found.rows.size(), 2U);
  const auto row = std::ranges::find_if(
      found.rows, [](const FlowRow& one) { return one.key.source_port.to_host() == 4'000; });
  ASSERT_NE(row, found.rows.end());
  EXPECT_EQ(row->key.source, kClient.address);
  EXPECT_EQ(row->key.destination, kVip.address);
  EXPECT_EQ(row->key.destination_port.to_host(), 80);
  EXPECT_EQ(rig.name_of(row->member), backend);
  EXPECT_EQ(row->mode, GetParam());
  EXPECT_EQ(row->state, FlowState::kEstablished);
  EXPECT_NEAR(row->age_s, 3, 1);
  EXPECT_EQ(row->translated, is_nat());
  const auto other = std::ranges::find_if(
      found.rows, [](const FlowRow& one) { return one.key.source_port.to_host() == 4'001; });
  EXPECT_EQ(other->state, FlowState::kHalfOpen);
  if (is_nat()) {
    EXPECT_EQ(row->pool, kPool.address);
    EXPECT_GE(row->pool_port.to_host(), 1'024);
  }
}

TEST_P(FlowWalks, AFilterTakesNoMoreThanItSays) {
  open(4'000);
  rig.appliance.send(tcp(kClient.at_port(4'001), kVip).syn());
  rig.appliance.send(udp(kClient.at_port(4'002), kVipDns).payload(9));
  rig.appliance.send(tcp(kClient6.at_port(4'003), kVip6).syn());
  ASSERT_EQ(rig.list().matched, 4U);
  const auto matched = [&](const FlowFilter& filter) { return rig.list("", filter).matched; };
  EXPECT_EQ(matched({.protocol = dataplane::Protocol::kUdp}), 1U);
  EXPECT_EQ(matched({.states = bit(FlowState::kHalfOpen)}), is_nat() ? 3U : 2U);
  EXPECT_EQ(matched({.states = bit(FlowState::kEstablished)}), 1U);
  EXPECT_EQ(matched({.vip = kVip6.address}), 1U);
  EXPECT_EQ(matched({.first_port = 53, .last_port = 79}), 1U);
  EXPECT_EQ(matched({.first_port = 80, .last_port = 80}), 3U);
  using dataplane::VipPrefix;
  const auto prefix = [](const Address& address, std::uint8_t bits) {
    return VipPrefix{dataplane::masked(address, bits), bits};
  };
  EXPECT_EQ(matched({.source = prefix(kClient.address, 128)}), 3U);
  EXPECT_EQ(matched({.source = prefix(kClient.address, 96)}), 3U) << "0.0.0.0/0";
  EXPECT_EQ(matched({.source = prefix(kClient6.address, 0)}), 1U) << "::/0 is no IPv4";
  EXPECT_EQ(matched({.source = prefix(kBackend1.address, 128)}), 0U);
}

TEST_P(FlowWalks, WhatHasOutlivedItsTimeIsNoFlowAnyMore) {
  rig.appliance.send(tcp(kClient, kVip).syn());
  rig.appliance.advance(11'000);  // the sweeper has not come round
  const auto wanted = rig.order(dataplane::WalkKind::kList);
  dataplane::FlowWalk walk(*wanted);
  while (!walk_some(walk, rig.worker(), rig.appliance.solo().generation(), 1'011'000)) {
  }
  EXPECT_EQ(walk.found.matched, 0U);
}

TEST_P(FlowWalks, ALongListIsCutAndAllAreCounted) {
  for (std::uint16_t port = 1; port <= 50; ++port) {
    open(port);
  }
  const auto wanted = rig.order(dataplane::WalkKind::kList);
  wanted->most_rows = 20;
  const FlowFindings found = rig.walk(*wanted);
  EXPECT_EQ(found.rows.size(), 20U);
  EXPECT_EQ(found.matched, 50U);
}

TEST_P(FlowWalks, FlowsThatAreResetGoOnUntilTheirTurnsAndAreListedAsTheyAre) {
  const std::vector<std::uint16_t> ports = open_at("1", 100);
  const std::uint64_t before = rig.live_flows();
  const FlowFindings found = rig.reset("1");
  EXPECT_EQ(found.given, 100U);
  EXPECT_EQ(rig.live_flows(), before);
  const FlowFindings listed = rig.list("1");
  EXPECT_EQ(listed.matched, 100U);
  EXPECT_EQ(listed.being_reset, 100U);
  for (const FlowRow& row : listed.rows) {
    EXPECT_EQ(row.state, FlowState::kEstablished);
    EXPECT_EQ(rig.name_of(row.member), "1");
  }
  rig.pass(998);
  const std::size_t half = resets_among(ports);
  EXPECT_NEAR(static_cast<double>(half), 50, 20);
  rig.pass(1'100);
  EXPECT_EQ(rig.sum(&dataplane::MemberMoves::reset), half);
  resets_among(ports);
  EXPECT_EQ(rig.sum(&dataplane::MemberMoves::reset), 100U);
  EXPECT_EQ(rig.appliance.moved(MoveCause::kReopened), 0U);
  EXPECT_EQ(rig.appliance.moved(MoveCause::kOperator), 0U);
}

TEST_P(FlowWalks, OfOtherBackendsNothingIsReset) {
  const std::vector<std::uint16_t> ones = open_at("1", 20);
  const std::vector<std::uint16_t> twos = open_at("2", 20);
  rig.reset("1");
  rig.pass(2'100);
  EXPECT_EQ(resets_among(twos), 0U);
  EXPECT_EQ(resets_among(ones), 20U);
}

// Each order has a window of its own, whatever runs already.
TEST_P(FlowWalks, ASecondResetDoesNotCutTheFirstOnesSpread) {
  const std::vector<std::uint16_t> first = open_at("1", 200);
  rig.reset("1");
  rig.pass(1'000);
  const std::vector<std::uint16_t> second = open_at("1", 200);
  rig.reset("1");
  const std::size_t of_first = resets_among(first);
  const std::size_t of_second = resets_among(second);
  EXPECT_NEAR(static_cast<double>(of_first), 100, 30);
  EXPECT_LT(of_second, 15U);
  rig.pass(1'000);
  EXPECT_NEAR(static_cast<double>(resets_among(second)), 100, 30);
  rig.pass(1'100);
  resets_among(first);
  resets_among(second);
  EXPECT_EQ(rig.sum(&dataplane::MemberMoves::reset), 400U);
}

TEST_P(FlowWalks, WhatIsBeingResetIsNotTakenAgain) {
  const std::vector<std::uint16_t> ports = open_at("1", 50);
  EXPECT_EQ(rig.reset("1").given, 50U);
  const FlowFindings again = rig.reset("1");
  EXPECT_EQ(again.given, 0U);
  EXPECT_EQ(again.being_reset, 50U);
  rig.pass(2'100);
  EXPECT_EQ(resets_among(ports), 50U);
  rig.pass(6'000);
  EXPECT_LE(rig.sum(&dataplane::MemberMoves::asked), 50U) << "each is asked once";
}

TEST_P(FlowWalks, IdleClientsOfManyWindowsAreAskedOnceEachAndCounted) {
  std::vector<std::uint16_t> all;
  for (int window = 0; window < 5; ++window) {
    const std::vector<std::uint16_t> ports = open_at("1", 60);
    all.insert(all.end(), ports.begin(), ports.end());
    EXPECT_EQ(rig.reset("1").given, 60U);
    rig.pass(300);
  }
  rig.pass(12'000);
  std::vector<std::uint16_t> asked = rig.asked;
  std::ranges::sort(asked);
  EXPECT_EQ(asked, all);
  EXPECT_EQ(rig.sum(&dataplane::MemberMoves::asked), 300U);
  EXPECT_EQ(rig.sum(&dataplane::MemberMoves::unanswered), 300U);
  EXPECT_EQ(resets_among(all), 300U) << "late, but still";
}

// It may begin at the same backend again: then nothing has moved.
TEST_P(FlowWalks, ASynOnAFlowThatIsToBeResetBeginsItAnew) {
  const std::vector<std::uint16_t> ports = open_at("1", 20);
  rig.reset("1");
  for (const std::uint16_t port : ports) {
    const Outcome syn = rig.appliance.send(tcp(kClient.at_port(port), kVip).syn());
    EXPECT_EQ(syn.verdict, Verdict::kForward);
    EXPECT_EQ(syn.backend, "1");
  }
  EXPECT_EQ(rig.appliance.moved(MoveCause::kReopened), 0U);
  EXPECT_EQ(rig.list("1").being_reset, 0U);
  rig.pass(2'100);
  EXPECT_EQ(rig.sum(&dataplane::MemberMoves::reset), 0U);
}

TEST_P(FlowWalks, DatagramsAreForgottenAndBeginAnew) {
  const Outcome first = rig.appliance.send(udp(kClient, kVipDns).payload(9));
  rig.appliance.send(udp(kClient, kVipDns).payload(9));
  const FlowFindings found = rig.reset(first.backend);
  EXPECT_EQ(found.forgotten, 1U);
  EXPECT_EQ(found.given, 0U);
  EXPECT_EQ(rig.live_flows(), 0U);
  EXPECT_EQ(rig.list().matched, 0U);
  EXPECT_EQ(rig.appliance.send(udp(kClient, kVipDns).payload(9)).backend, first.backend);
}

TEST_P(FlowMoves, AMoveTakesFlowsToTheOtherBackendAndCountsThem) {
  const std::vector<std::uint16_t> ones = open_at("1", 30);
  const std::vector<std::uint16_t> twos = open_at("2", 10);
  rig.appliance.send(udp(kClient, kVipDns).payload(9));
  const std::uint64_t all = rig.list("1").matched;
  ASSERT_GE(all, 30U);
  const FlowFindings found = rig.move("1", "2");
  EXPECT_EQ(found.given, all);
  EXPECT_EQ(rig.appliance.moved(MoveCause::kOperator), found.given);
  for (const std::uint16_t port : ones) {
    EXPECT_EQ(send(port).backend, "2");
  }
  for (const std::uint16_t port : twos) {
    EXPECT_EQ(send(port).backend, "2");
  }
  EXPECT_EQ(rig.move("1", "2").given, 0U);
  EXPECT_EQ(rig.appliance.moved(MoveCause::kOperator), found.given) << "once for each flow";
  EXPECT_EQ(rig.list("1").matched, 0U);
}

TEST_P(FlowMoves, FlowsThatAreBeingResetDoNotMove) {
  const std::vector<std::uint16_t> ports = open_at("1", 10);
  rig.reset("1");
  const FlowFindings found = rig.move("1", "2");
  EXPECT_EQ(found.given, 0U);
  EXPECT_EQ(found.being_reset, 10U);
}

TEST_P(FlowWalks, AWalkThatIsCancelledEndsWhereItIs) {
  open_at("1", 10);
  const auto wanted = rig.order(dataplane::WalkKind::kList);
  wanted->cancelled = true;
  EXPECT_EQ(rig.walk(*wanted).matched, 0U);
}

// A restart of the dataplane finds the order in the shared state.
TEST_P(FlowWalks, WhatIsToBeResetIsAskedAgainAfterARestart) {
  const std::vector<std::uint16_t> ports = open_at("1", 40);
  rig.reset("1");
  const dataplane::AdoptionReport report =
      validate_tables(rig.worker().tables, rig.appliance.solo().generation(), rig.dispositions());
  EXPECT_EQ(report.dropped, 0U);
  const auto registry = dataplane::MemberRegistry(rig.appliance.solo().shared().member_records());
  EXPECT_EQ(dataplane::reset_all_copies(registry, rig.dispositions()), 1U);
  rig.pass(8'000);
  EXPECT_EQ(rig.sum(&dataplane::MemberMoves::asked), 40U);
  EXPECT_EQ(resets_among(ports), 40U);
}

TEST(NatFlowWalks, WhatIsOverIsNeitherListedNorReset) {
  WalkRig rig(three_backends(Mode::kNat));
  const auto open = [&](std::uint16_t port) {
    const Outcome syn = rig.appliance.send(tcp(kClient.at_port(port), kVip).syn());
    const Translated flow = translated(syn);
    rig.appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    rig.appliance.send(tcp(kClient.at_port(port), kVip).ack());
    return flow;
  };
  const Translated closed = open(1);
  rig.appliance.send(tcp(kClient.at_port(1), kVip).fin().ack());
  rig.appliance.send(tcp(closed.backend, closed.pool).fin().ack(), kLan);
  rig.appliance.send(tcp(kClient.at_port(1), kVip).ack());
  const Translated reset = open(2);
  rig.appliance.send(tcp(reset.backend, reset.pool).rst().ack(), kLan);
  const Translated reopened = open(3);
  rig.appliance.send(tcp(reopened.backend, reopened.pool).fin().ack(), kLan);
  rig.appliance.send(tcp(kClient.at_port(3), kVip).syn());  // detaches the one before
  open(4);
  const FlowFindings found = rig.list();
  std::vector<std::uint16_t> ports;
  for (const FlowRow& row : found.rows) {
    ports.push_back(row.key.source_port.to_host());
  }
  std::ranges::sort(ports);
  EXPECT_EQ(ports, (std::vector<std::uint16_t>{3, 4}));
  EXPECT_EQ(found.matched, 2U);
  EXPECT_EQ(rig.reset().given, 2U);
}

TEST(NatFlowWalks, TheBackendsSideIsResetToo) {
  WalkRig rig(three_backends(Mode::kNat));
  const Outcome syn = rig.appliance.send(tcp(kClient, kVip).syn());
  const Translated flow = translated(syn);
  rig.appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  rig.appliance.send(tcp(kClient, kVip).ack());
  rig.reset();
  rig.pass(2'100);
  EXPECT_EQ(rig.appliance.send(tcp(flow.backend, flow.pool).ack(), kLan).verdict, Verdict::kReply);
  EXPECT_EQ(rig.appliance.send(tcp(kClient, kVip).ack()).verdict, Verdict::kReply);
  EXPECT_EQ(rig.sum(&dataplane::MemberMoves::reset), 1U);
}

// A copy gets entries from the walk alone: so it can be freed with the last of them.
TEST(FlowCopies, AreRememberedForNoSource) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat}) {
    dataplane::GenerationSpec spec = three_backends(mode);
    for (dataplane::ServiceSpec& service : spec.services) {
      service.affinity.seconds = 600;
    }
    WalkRig rig(spec);
    const Outcome syn = rig.appliance.send(tcp(kClient, kVip).syn());
    EXPECT_EQ(rig.reset().given, 1U);
    if (mode == Mode::kNat) {
      const Translated flow = translated(syn);
      rig.appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    }
    rig.appliance.send(tcp(kClient, kVip).ack());
    EXPECT_EQ(rig.worker().tables.v4.affinities(), 0U) << mode_name(mode);
    rig.pass(2'100);
    EXPECT_EQ(rig.appliance.send(tcp(kClient, kVip).ack()).verdict, Verdict::kReply);
    rig.appliance.send(tcp(kClient.at_port(5'000), kVip).syn());
    EXPECT_EQ(rig.list().matched, 1U);
  }
}

// Of a vxlan tunnel the copy needs its member's inner address too.
TEST(FlowCopies, AreForwardedToAsTheirMembersAre) {
  for (const Mode mode : all_modes()) {
    WalkRig rig(three_backends(mode));
    const Packet segment = tcp(kClient, kVip).ack();
    const Outcome syn = rig.appliance.send(tcp(kClient, kVip).syn());
    if (mode == Mode::kNat) {
      const Translated flow = translated(syn);
      rig.appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    }
    rig.appliance.send(segment);
    const Outcome before = rig.appliance.send(segment);
    rig.reset();
    const Outcome after = rig.appliance.send(segment);
    ASSERT_EQ(after.verdict, Verdict::kForward) << mode_name(mode) << ", before its turn";
    EXPECT_EQ(after.bytes, before.bytes) << mode_name(mode);
  }
}

TEST(FlowCopies, LeaveRoomInTheRegistry) {
  WalkRig rig(three_backends(Mode::kDsr));
  dataplane::MemberRegistry registry(rig.appliance.solo().shared().member_records());
  const std::vector<dataplane::MemberId> many(dataplane::kRegistryCapacity);
  const auto copies = dataplane::copy_members(registry, rig.dispositions(), many);
  ASSERT_FALSE(copies.has_value());
  EXPECT_NE(copies.error().find("name a service"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::testing
