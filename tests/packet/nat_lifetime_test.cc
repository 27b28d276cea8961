// SPDX-License-Identifier: Apache-2.0
// How flows of mode `nat` end, and what they outlive.
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"
#include "tests/support/frame_difference.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Drop;
using dataplane::Mode;
using dataplane::Verdict;

std::uint64_t live_flows(Appliance& appliance) {
  std::uint64_t flows = 0;
  for (const dataplane::MemberStats& member : appliance.solo().worker().members) {
    flows += member.live_flows.get();
  }
  return flows;
}

// Time in which the sweeper comes round.
void pass(Appliance& appliance, int seconds) {
  for (int i = 0; i < seconds; ++i) {
    appliance.advance(1000);
    appliance.send(tcp(kClient, kVip.at_port(81)).syn());  // nothing listens
  }
}

TEST(Nat, AResetThatBothSidesIgnoreEndsNothing) {
  Appliance appliance(three_backends(Mode::kNat));
  const Translated flow = translated(appliance.send(tcp(kClient, kVip).syn()));
  appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  appliance.send(tcp(kClient, kVip).ack());
  appliance.send(tcp(kClient, kVip).rst().sequence(77));
  appliance.send(tcp(flow.backend, flow.pool).rst().sequence(77), kLan);
  EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).ack(), kLan).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack()).verdict, Verdict::kForward);
  pass(appliance, 120);
  EXPECT_EQ(live_flows(appliance), 1U);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack()).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).ack(), kLan).verdict, Verdict::kForward);
}

TEST(Nat, AResetOfTheMemberEndsTheFlowWithinSeconds) {
  Appliance appliance(three_backends(Mode::kNat));
  const Translated flow = translated(appliance.send(tcp(kClient, kVip).syn()));
  appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  appliance.send(tcp(kClient, kVip).ack());
  appliance.send(tcp(flow.backend, flow.pool).rst(), kLan);
  pass(appliance, 6);
  EXPECT_EQ(live_flows(appliance), 0U);
  EXPECT_EQ(appliance.solo().worker().tables.nat.used(), 0U);
}

// RFC 5961: a reset with a wrong number ends nothing at the member, so anybody can send one.
TEST(Nat, AForgedResetEndsNoFlowThatIsSilentForAWhile) {
  Appliance appliance(three_backends(Mode::kNat));
  const Translated flow = translated(appliance.send(tcp(kClient, kVip).syn()));
  appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  appliance.send(tcp(kClient, kVip).ack());
  appliance.send(tcp(kClient, kVip).rst().sequence(77));
  pass(appliance, 55);
  EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).ack(), kLan).verdict, Verdict::kForward);
  EXPECT_EQ(source_port_of(appliance.send(tcp(kClient, kVip).ack()).bytes), flow.pool.port);
}

TEST(Nat, AForgedFinAndSynDoNotMoveAFlow) {
  for (const Disposition disposition : {Disposition::kNew, Disposition::kKeep}) {
    Appliance appliance(three_backends(Mode::kNat));
    const Outcome syn = appliance.send(tcp(kClient, kVip).syn());
    const Translated flow = translated(syn);
    appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance.send(tcp(kClient, kVip).ack());
    appliance.set(syn.backend, disposition);
    appliance.send(tcp(kClient, kVip).fin().ack().sequence(77));
    const Outcome forged = appliance.send(tcp(kClient, kVip).syn().sequence(78));
    EXPECT_EQ(forged.backend, syn.backend);
    EXPECT_EQ(source_port_of(forged.bytes), flow.pool.port);
    const Outcome genuine = appliance.send(tcp(kClient, kVip).ack());
    EXPECT_EQ(genuine.backend, syn.backend);
    EXPECT_EQ(source_port_of(genuine.bytes), flow.pool.port);
    EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).ack(), kLan).verdict, Verdict::kForward);
    EXPECT_EQ(appliance.solo().worker().tables.nat.used(), 1U);
  }
}

// The member has closed: the SYN begins a connection, at an endpoint of its own.
TEST(Nat, ASynBeginsAnewOnceTheMemberHasClosed) {
  for (const bool reset : {false, true}) {
    Appliance appliance(three_backends(Mode::kNat));
    const Translated flow = translated(appliance.send(tcp(kClient, kVip).syn()));
    appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance.send(tcp(kClient, kVip).ack());
    appliance.send(
        reset ? tcp(flow.backend, flow.pool).rst() : tcp(flow.backend, flow.pool).fin().ack(),
        kLan);
    const Outcome again = appliance.send(tcp(kClient, kVip).syn());
    ASSERT_EQ(again.verdict, Verdict::kForward);
    EXPECT_TRUE(source_of(again.bytes) != flow.pool.address ||
                source_port_of(again.bytes) != flow.pool.port);
  }
}

// The client's reset ended it at both ends; its next SYN finds the member listening.
TEST(Nat, AClientThatResetsMayUseItsPortAtOnce) {
  Appliance appliance(three_backends(Mode::kNat));
  const Translated flow = translated(appliance.send(tcp(kClient, kVip).syn()));
  appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  appliance.send(tcp(kClient, kVip).ack());
  appliance.send(tcp(kClient, kVip).rst());
  EXPECT_EQ(source_port_of(appliance.send(tcp(kClient, kVip).syn()).bytes), flow.pool.port);
  EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan).verdict,
            Verdict::kForward);
  appliance.send(tcp(kClient, kVip).ack());
  pass(appliance, 120);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack()).verdict, Verdict::kForward);
  EXPECT_EQ(live_flows(appliance), 1U);
}

// Neither leaves the share of half-open flows, nor keeps an endpoint longer than those do.
TEST(Nat, WhoCannotSeeTheMembersAnswerMakesNoFlowThatLasts) {
  Appliance appliance(three_backends(Mode::kNat), 256);
  for (std::uint16_t port = 1; port <= 1000; ++port) {
    const Endpoint client = kClient.at_port(port);
    const Outcome syn = appliance.send(tcp(client, kVip).syn());
    ASSERT_EQ(syn.verdict, Verdict::kForward);
    const Translated flow = translated(syn);
    appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance.send(port % 2 == 0 ? tcp(client, kVip).fin().ack().acknowledgment(7)
                                 : tcp(client, kVip).ack().acknowledgment(7));
  }
  const dataplane::NatTable& nat = appliance.solo().worker().tables.nat;
  EXPECT_EQ(nat.used(), nat.half_open());
  EXPECT_LE(nat.used(), 64U);
  pass(appliance, 15);
  EXPECT_EQ(nat.used(), 0U);
}

TEST(Nat, AResetOfTheClientEndsTheFlowByTheTimeoutOfClosingOnes) {
  Appliance appliance(three_backends(Mode::kNat));
  ASSERT_EQ(establish(appliance, kClient), std::nullopt);
  appliance.send(tcp(kClient, kVip).rst());
  pass(appliance, 65);
  EXPECT_EQ(live_flows(appliance), 0U);
  EXPECT_EQ(appliance.solo().worker().tables.nat.used(), 0U);
}

TEST(Nat, ANewConnectionPastADeadMemberEndsTheOldOne) {
  Appliance appliance(three_backends(Mode::kNat));
  const Outcome syn = appliance.send(tcp(kClient, kVip).syn());
  const Translated old = translated(syn);
  appliance.send(tcp(old.backend, old.pool).syn().ack(), kLan);
  appliance.send(tcp(kClient, kVip).ack());
  appliance.set(syn.backend, Disposition::kAvoid);
  const Outcome again = appliance.send(tcp(kClient, kVip).syn());
  ASSERT_EQ(again.verdict, Verdict::kForward);
  EXPECT_NE(again.backend, syn.backend);
  EXPECT_EQ(live_flows(appliance), 1U);
  // Should the old member still live: its connection is over, and the client hears nothing of it.
  EXPECT_EQ(appliance.send(tcp(old.backend, old.pool).ack(), kLan).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(tcp(old.backend, old.pool).rst(), kLan).reason, Drop::kMemberReset);
  pass(appliance, 6);
  EXPECT_EQ(appliance.solo().worker().tables.nat.used(), 1U);
}

TEST(Nat, ResetsBothSidesOfAFlowWhoseMemberIsReset) {
  Appliance appliance(three_backends(Mode::kNat));
  const Outcome syn = appliance.send(tcp(kClient, kVip).syn());
  const Translated flow = translated(syn);
  appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  appliance.send(tcp(kClient, kVip).ack());
  appliance.set(syn.backend, Disposition::kReset);
  const Outcome to_member = appliance.send(tcp(flow.backend, flow.pool).ack(), kLan);
  EXPECT_EQ(to_member.verdict, Verdict::kReply);
  EXPECT_EQ(to_member.port, kLan);
  const Outcome to_client = appliance.send(tcp(kClient, kVip).ack());
  EXPECT_EQ(to_client.verdict, Verdict::kReply);
  EXPECT_EQ(to_client.port, kWan);
  EXPECT_EQ(appliance.stats().resets_sent.get(), 2U);
  EXPECT_EQ(live_flows(appliance), 0U);
  // Once over it stays so, whatever becomes of the member.
  appliance.set(syn.backend, Disposition::kNew);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack()).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).ack(), kLan).verdict, Verdict::kReply);
  pass(appliance, 6);
  EXPECT_EQ(appliance.solo().worker().tables.nat.used(), 0U);
  EXPECT_EQ(appliance.stats().flows_ended.get(), 1U);
}

TEST(Nat, FreesAClosedFlowAfterItsQuarantine) {
  Appliance appliance(three_backends(Mode::kNat));
  const auto live = [&] { return appliance.solo().worker().tables.nat.used(); };
  for (const bool client_first : {true, false}) {
    const Endpoint client = kClient.at_port(client_first ? 1111 : 2222);
    const Translated flow = translated(appliance.send(tcp(client, kVip).syn()));
    appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance.send(tcp(client, kVip).ack());
    if (client_first) {
      appliance.send(tcp(client, kVip).fin().ack());
      appliance.send(tcp(flow.backend, flow.pool).fin().ack(), kLan);
    } else {
      appliance.send(tcp(flow.backend, flow.pool).fin().ack(), kLan);
      appliance.send(tcp(client, kVip).fin().ack());
    }
  }
  EXPECT_EQ(live(), 2U);
  pass(appliance, 35);
  EXPECT_EQ(live(), 1U);  // the one whose member closed first may be in TIME_WAIT there
  pass(appliance, 60);
  EXPECT_EQ(live(), 0U);
}

TEST(Nat, LearnsAClientOnTheLinkThoughItsFirstPacketIsDropped) {
  dataplane::GenerationSpec spec = three_backends(Mode::kNat);
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members = {{.backend = "far", .address = v4(10, 0, 3, 99)}};
  }
  Appliance appliance(spec);
  const Endpoint neighbor = {v4(192, 0, 2, 77), 40000, {2, 0, 0, 0, 9, 9}};
  dataplane::Notices& notices = appliance.solo().worker().notices;
  // The second time it is a retransmission: the first notice may not have fitted.
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(appliance.send(tcp(neighbor, kVip).syn()).reason, Drop::kNoNeighbor);
    ASSERT_EQ(notices.learned_count, 1);
    EXPECT_EQ(notices.learned[0].address, neighbor.address);
    EXPECT_EQ(notices.learned[0].mac, neighbor.mac);
    EXPECT_EQ(notices.learned[0].port, kWan);
    notices.clear();
  }
}

// A flow of a client on the link that stands, its client known to the neighbourhood.
class ClientOnTheLink : public ::testing::Test {
 protected:
  ClientOnTheLink() {
    const Translated flow = translated(appliance_.send(tcp(client_, kVip).syn()));
    answer_ = tcp(flow.backend, flow.pool).ack().bytes();
    appliance_.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance_.send(tcp(client_, kVip).ack());
    notices().clear();
  }
  dataplane::Notices& notices() { return appliance_.solo().worker().notices; }
  // What the worker learns of a segment of the flow.
  std::vector<MacAddress> learned(const MacAddress& mac) {
    notices().clear();
    EXPECT_EQ(appliance_.send(tcp(client_.at_mac(mac), kVip).ack()).verdict, Verdict::kForward);
    std::vector<MacAddress> all;
    for (std::size_t i = 0; i < notices().learned_count; ++i) {
      EXPECT_EQ(notices().learned[i].address, client_.address);
      all.push_back(notices().learned[i].mac);
    }
    return all;
  }
  MacAddress answered_to() {
    const Outcome outcome = appliance_.send(answer_, kLan);
    MacAddress mac{};
    std::ranges::copy(std::span(outcome.bytes).first(mac.size()), mac.begin());
    return mac;
  }
  void know(const MacAddress& mac) {
    const std::array<dataplane::Route, 2> routes = {
        dataplane::Route{.prefix = v4(192, 0, 2, 0), .length = 24, .gateway = {}, .port = kWan},
        dataplane::Route{.prefix = v4(10, 0, 3, 0), .length = 24, .gateway = {}, .port = kLan}};
    std::vector<dataplane::Neighbor> neighbors = {
        {.address = client_.address, .mac = mac, .port = kWan}};
    for (const Endpoint& backend : {kBackend1, kBackend2, kBackend3}) {
      neighbors.push_back({.address = backend.address, .mac = backend.mac, .port = kLan});
    }
    const auto links = appliance_.solo().neighborhood().links();
    appliance_.solo().set_neighborhood({{links.begin(), links.end()}, routes, neighbors});
  }
  static constexpr MacAddress kFirst = {2, 0, 0, 0, 9, 9};
  static constexpr MacAddress kSecond = {2, 0, 0, 0, 9, 10};
  Appliance appliance_{three_backends(Mode::kNat)};
  Endpoint client_ = {v4(192, 0, 2, 77), 40000, kFirst};
  Bytes answer_;
};

TEST_F(ClientOnTheLink, IsNotLearnedAgainWhileItsAddressIsKnownAndTheSame) {
  know(kFirst);
  EXPECT_TRUE(learned(kFirst).empty());
}

TEST_F(ClientOnTheLink, IsLearnedAgainWhenItsFramesComeFromAnotherMac) {
  know(kFirst);
  EXPECT_EQ(learned(kSecond), std::vector{kSecond});
  know(kSecond);
  EXPECT_EQ(answered_to(), kSecond);
  EXPECT_TRUE(learned(kSecond).empty());
}

TEST_F(ClientOnTheLink, IsLearnedAgainWhenTheNeighbourhoodHasForgottenIt) {
  EXPECT_EQ(learned(kSecond), std::vector{kSecond});
  EXPECT_EQ(answered_to(), kSecond);
}

TEST_F(ClientOnTheLink, IsNotMovedToARouterNorToNobodysAddress) {
  EXPECT_EQ(answered_to(), kFirst);
  EXPECT_TRUE(learned(kRouterMac).empty());
  EXPECT_TRUE(learned(MacAddress{}).empty());
  EXPECT_EQ(answered_to(), kFirst);
}

TEST(Nat, LearnsNoClientFromTheZeroMac) {
  Appliance appliance(three_backends(Mode::kNat));
  const Endpoint nobody = {v4(192, 0, 2, 77), 40000, {}};
  appliance.send(tcp(nobody, kVip).syn());
  EXPECT_EQ(appliance.solo().worker().notices.learned_count, 0);
}

TEST(Nat, FlowsOutliveAChangeOfTheMode) {
  Appliance appliance(three_backends(Mode::kNat));
  const Outcome syn = appliance.send(tcp(kClient, kVip).syn());
  const Translated flow = translated(syn);
  appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  const Bytes before = appliance.send(tcp(kClient, kVip).ack()).bytes;
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
  spec.number = 2;
  spec.pools = three_backends(Mode::kNat).pools;
  appliance.publish(spec);
  expect_same(appliance.send(tcp(kClient, kVip).ack()).bytes, before);
  const Outcome reply = appliance.send(tcp(flow.backend, flow.pool).ack(), kLan);
  expect_same(reply.bytes, tcp(kVip, kClient).ack().ttl(63).bytes());
  // What begins now is of the new mode, also on the old 5-tuple.
  appliance.send(tcp(kClient, kVip).fin().ack());
  appliance.send(tcp(flow.backend, flow.pool).fin().ack(), kLan);
  const Outcome again = appliance.send(tcp(kClient, kVip).syn());
  ASSERT_EQ(again.verdict, Verdict::kForward);
  EXPECT_EQ(source_of(again.bytes), kClient.address);
  EXPECT_EQ(appliance.solo().worker().tables.v4.used(), 1U);
}

TEST(Nat, FlowsOutliveTheGenerationThatMadeThem) {
  Appliance appliance(three_backends(Mode::kNat));
  const Outcome syn = appliance.send(tcp(kClient, kVip).syn());
  const Translated flow = translated(syn);
  dataplane::GenerationSpec spec = three_backends(Mode::kNat);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    std::erase_if(service.members,
                  [&](const auto& member) { return member.backend == syn.backend; });
  }
  appliance.publish(spec);
  EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan).verdict,
            Verdict::kForward);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack()).backend, syn.backend);
  // The pool may change as well: replies are found by what the record says.
  spec.number = 3;
  spec.pools = {{.first = v4(10, 0, 3, 16), .last = v4(10, 0, 3, 31)},
                {.first = v4(10, 0, 3, 64), .last = v4(10, 0, 3, 64)}};
  appliance.publish(spec);
  EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).ack(), kLan).verdict, Verdict::kForward);
}

}  // namespace
}  // namespace holdfast::testing
