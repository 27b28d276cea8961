// SPDX-License-Identifier: Apache-2.0
// Flows that go on at another member than before are counted, by why; and nothing else is.
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Mode;
using dataplane::MoveCause;
using dataplane::Verdict;

std::uint64_t sum(Appliance& appliance, dataplane::Counter dataplane::MemberMoves::* counter) {
  std::uint64_t sum = 0;
  for (const dataplane::MemberMoves& moves : appliance.solo().worker().moves) {
    sum += (moves.*counter).get();
  }
  return sum;
}

std::uint64_t any_moves(Appliance& appliance) {
  return appliance.moved(MoveCause::kReset) + appliance.moved(MoveCause::kDown) +
         appliance.moved(MoveCause::kReopened) +
         sum(appliance, &dataplane::MemberMoves::untracked) +
         sum(appliance, &dataplane::MemberMoves::reset);
}

class Moves : public ::testing::TestWithParam<Mode> {
 protected:
  Appliance appliance{three_backends(GetParam())};
};

INSTANTIATE_TEST_SUITE_P(Modes, Moves, ::testing::ValuesIn(all_modes()), [](const auto& mode) {
  return std::string(mode_name(mode.param));
});

TEST_P(Moves, DatagramsOfAMemberThatIsResetMoveOnceForEachFlow) {
  const Outcome first = appliance.send(udp(kClient, kVipDns).payload(9));
  ASSERT_EQ(first.verdict, Verdict::kForward);
  appliance.set(first.backend, Disposition::kReset);
  for (int i = 0; i < 3; ++i) {
    const Outcome next = appliance.send(udp(kClient, kVipDns).payload(9));
    EXPECT_EQ(next.verdict, Verdict::kForward);
    EXPECT_NE(next.backend, first.backend);
  }
  EXPECT_EQ(appliance.moved(MoveCause::kReset), 1U);
  EXPECT_EQ(any_moves(appliance), 1U);
}

TEST_P(Moves, WhatNobodyTakesHasNotMoved) {
  appliance.send(udp(kClient, kVipDns).payload(9));
  for (const dataplane::ServiceSpec& service : three_backends(GetParam()).services) {
    for (const dataplane::MemberSpec& member : service.members) {
      appliance.set(member.backend, Disposition::kReset);
    }
  }
  EXPECT_EQ(appliance.send(udp(kClient, kVipDns).payload(9)).reason, dataplane::Drop::kNoBackend);
  EXPECT_EQ(any_moves(appliance), 0U);
}

TEST_P(Moves, ASynThatBeginsAFlowOfADeadMemberAnewIsCountedApart) {
  const Outcome syn = appliance.send(tcp(kClient, kVip).syn());
  appliance.set(syn.backend, Disposition::kAvoid);
  EXPECT_NE(appliance.send(tcp(kClient, kVip).syn()).backend, syn.backend);
  EXPECT_EQ(appliance.moved(MoveCause::kReopened), 1U);
  EXPECT_EQ(any_moves(appliance), 1U);
}

TEST_P(Moves, ReloadsDrainsAndOtherMembersDeathsMoveNothing) {
  std::map<std::uint16_t, std::string> before;
  for (std::uint16_t port = 1; port < 60; ++port) {
    before[port] = appliance.send(udp(kClient.at_port(port), kVipDns).payload(9)).backend;
  }
  dataplane::GenerationSpec spec = three_backends(GetParam());
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members[0].weight = 1;
  }
  appliance.publish(spec);
  appliance.set("2", Disposition::kKeep);
  appliance.set("3", Disposition::kAvoid);
  for (const auto& [port, backend] : before) {
    EXPECT_EQ(appliance.send(udp(kClient.at_port(port), kVipDns).payload(9)).backend, backend);
  }
  EXPECT_EQ(any_moves(appliance), 0U);
}

TEST_P(Moves, AFlowThatIsResetIsCountedOnceHoweverManyOfItsPacketsAreAnswered) {
  const Outcome syn = appliance.send(tcp(kClient, kVip).syn());
  appliance.send(tcp(kClient, kVip).ack());
  appliance.set(syn.backend, Disposition::kReset);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack()).verdict, Verdict::kReply);
  if (GetParam() == Mode::kNat) {
    const Translated flow = translated(syn);
    EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).ack(), kLan).verdict, Verdict::kReply);
  }
  EXPECT_EQ(sum(appliance, &dataplane::MemberMoves::reset), 1U);
  EXPECT_EQ(any_moves(appliance), 1U);
}

// Without a word of the flows that lived before, the table of before tells where they were.
TEST(UntrackedMoves, APacketWithoutEntryThatGoesElsewhereThanTheTableBeforeSaysIsCounted) {
  Appliance before(three_backends(Mode::kDsr));
  Appliance appliance(three_backends(Mode::kDsr));
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members[0].weight = 0;
  }
  appliance.publish(spec);
  appliance.set("1", Disposition::kAvoid);
  std::uint64_t of_the_first = 0;
  for (std::uint16_t port = 1; port < 300; ++port) {
    const Packet packet = tcp(kClient.at_port(port), kVip).ack();
    const std::string home = before.send(packet).backend;
    const std::string now = appliance.send(packet).backend;
    of_the_first += home == "1" ? 1U : 0U;
    EXPECT_EQ(now == home, home != "1") << home << " " << now;
  }
  EXPECT_GT(of_the_first, 20U);
  EXPECT_EQ(sum(appliance, &dataplane::MemberMoves::untracked), of_the_first);
  EXPECT_EQ(any_moves(appliance), of_the_first);
  EXPECT_EQ(any_moves(before), 0U);
}

}  // namespace
}  // namespace holdfast::testing
