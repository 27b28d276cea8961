// SPDX-License-Identifier: Apache-2.0
// Mode `nat` at its limits: more flows than one address has ports, the pool's end, members that are
// clients, and UDP without a checksum.
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"
#include "tests/support/frame_difference.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::Mode;
using dataplane::NatRecord;
using dataplane::Verdict;

constexpr std::uint32_t kPortsOfAnAddress = 64'512;

// Three members, or one, behind one pool address.
dataplane::GenerationSpec one_address(bool one_member) {
  dataplane::GenerationSpec spec = three_backends(Mode::kNat);
  spec.pools = {{.first = kPool.address, .last = kPool.address}};
  for (dataplane::ServiceSpec& service : spec.services) {
    if (one_member) {
      service.members = {{.backend = "1", .address = kBackend1.address}};
    }
  }
  return spec;
}

struct Opened {
  Endpoint client;
  Translated flow;
};

// Every flow still carries its packets, both ways, between its own ends.
void expect_all_alive(Appliance& appliance, const std::vector<Opened>& flows) {
  std::uint32_t lost = 0;
  for (const Opened& one : flows) {
    const Outcome there = appliance.send(tcp(one.client, kVip).ack());
    const Outcome back = appliance.send(tcp(one.flow.backend, one.flow.pool).ack(), kLan);
    const bool kept =
        there.verdict == Verdict::kForward && back.verdict == Verdict::kForward &&
        source_port_of(there.bytes) == one.flow.pool.port &&
        translated(there).backend.address == one.flow.backend.address &&
        dataplane::load<dataplane::Be32>(reinterpret_cast<const std::byte*>(back.bytes.data()) +
                                         30) == one.client.address.v4_bits() &&
        dataplane::load<Be16>(reinterpret_cast<const std::byte*>(back.bytes.data()) + 36)
                .to_host() == one.client.port;
    lost += kept ? 0U : 1U;
  }
  EXPECT_EQ(lost, 0U);
}

TEST(Nat, OneAddressCarriesMoreFlowsAtOnceThanItHasPorts) {
  Appliance appliance(one_address(false), 200'000);
  std::vector<Opened> flows;
  std::set<std::tuple<std::uint8_t, std::uint16_t>> endpoints;
  std::map<std::uint16_t, int> uses;
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    const Endpoint client = numbered_client(i);
    const Outcome syn = appliance.send(tcp(client, kVip).syn());
    ASSERT_EQ(syn.verdict, Verdict::kForward) << i;
    const Translated flow = translated(syn);
    appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance.send(tcp(client, kVip).ack());
    flows.push_back({client, flow});
    EXPECT_EQ(flow.pool.address, kPool.address);
    EXPECT_TRUE(endpoints.emplace(flow.backend.address.bytes[15], flow.pool.port).second);
    ++uses[flow.pool.port];
  }
  EXPECT_EQ(appliance.solo().worker().tables.nat.used(), 100'000U);
  EXPECT_LE(uses.size(), kPortsOfAnAddress);
  EXPECT_TRUE(std::ranges::any_of(uses, [](const auto& use) { return use.second > 1; }))
      << "no port served two members at once";
  expect_all_alive(appliance, flows);
}

TEST(Nat, AnExhaustedPoolDropsNewFlowsAndHarmsNoOther) {
  Appliance appliance(one_address(true), 200'000);
  std::vector<Opened> flows;
  for (std::uint32_t i = 0; i < kPortsOfAnAddress; ++i) {
    const Endpoint client = numbered_client(i);
    const Outcome syn = appliance.send(tcp(client, kVip).syn());
    ASSERT_EQ(syn.verdict, Verdict::kForward) << i;
    const Translated flow = translated(syn);
    appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance.send(tcp(client, kVip).ack());
    flows.push_back({client, flow});
  }
  const auto reason = static_cast<std::size_t>(Drop::kNatPoolExhausted);
  for (std::uint32_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(appliance.send(tcp(numbered_client(kPortsOfAnAddress + i), kVip).syn()).reason,
              Drop::kNatPoolExhausted);
  }
  EXPECT_EQ(appliance.stats().drops[reason].get(), 1000U);
  expect_all_alive(appliance, flows);
  // The same endpoints serve another protocol, and another port of the member.
  EXPECT_EQ(appliance.send(udp(kClient, kVip.at_port(53)).payload(4)).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip.at_port(443)).syn()).verdict, Verdict::kForward);
}

TEST(Nat, AnEndpointOfAnExhaustedPoolServesAgainAfterItsQuarantine) {
  Appliance appliance(one_address(true), 200'000);
  std::set<std::uint16_t> closed;
  std::vector<Opened> flows;
  for (std::uint32_t i = 0; i < kPortsOfAnAddress; ++i) {
    const Endpoint client = numbered_client(i);
    const Translated flow = translated(appliance.send(tcp(client, kVip).syn()));
    appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance.send(tcp(client, kVip).ack());
    flows.push_back({client, flow});
  }
  for (std::uint32_t i = 0; i < kPortsOfAnAddress; i += 16) {
    appliance.send(tcp(flows[i].client, kVip).fin().ack());
    appliance.send(tcp(flows[i].flow.backend, flows[i].flow.pool).fin().ack(), kLan);
    closed.insert(flows[i].flow.pool.port);
  }
  const Endpoint fresh = numbered_client(90'000);
  EXPECT_EQ(appliance.send(tcp(fresh, kVip).syn()).reason, Drop::kNatPoolExhausted);
  for (int second = 0; second < 40; ++second) {
    appliance.advance(1000);
    appliance.send(tcp(kClient, kVip.at_port(81)).syn());  // lets the sweeper come round
  }
  const Outcome syn = appliance.send(tcp(fresh, kVip).syn());
  ASSERT_EQ(syn.verdict, Verdict::kForward);
  EXPECT_TRUE(closed.contains(source_port_of(syn.bytes))) << "in use by another flow";
  std::erase_if(flows, [&](const Opened& one) { return closed.contains(one.flow.pool.port); });
  expect_all_alive(appliance, flows);
}

// A worker's whole share of one pool address, with all endpoints but a few in use for good.
void use_up(Appliance& appliance, std::uint32_t but) {
  for (std::uint32_t i = 0; i < kPortsOfAnAddress - but; ++i) {
    ASSERT_EQ(establish(appliance, numbered_client(i)), std::nullopt) << i;
  }
}

TEST(Nat, HalfOpenFlowsGiveWayWhenThePoolEnds) {
  Appliance appliance(one_address(true), 200'000);
  use_up(appliance, 20);
  for (std::uint32_t i = 0; i < 20; ++i) {
    EXPECT_EQ(appliance.send(tcp(numbered_client(70'000 + i), kVip).syn()).verdict,
              Verdict::kForward);
  }
  // Whoever completes the handshake gets an endpoint, as long as one is half-open.
  for (std::uint32_t i = 0; i < 20; ++i) {
    std::optional<Drop> reason = Drop::kNatPoolExhausted;
    for (int tries = 0; tries < 1100 && reason; ++tries) {
      reason = establish(appliance, numbered_client(80'000 + i));
      appliance.advance(1);
    }
    EXPECT_EQ(reason, std::nullopt) << i;
  }
  EXPECT_EQ(appliance.send(tcp(numbered_client(90'000), kVip).syn()).reason,
            Drop::kNatPoolExhausted);
  EXPECT_EQ(appliance.solo().worker().tables.nat.half_open(), 0U);
}

TEST(Nat, AFloodOfHalfOpenFlowsKeepsNoOtherFromItsMember) {
  Appliance appliance(one_address(true), 300'000);
  for (std::uint32_t i = 0; i < kPortsOfAnAddress + 1000; ++i) {
    ASSERT_EQ(appliance.send(tcp(numbered_client(i), kVip).syn()).verdict, Verdict::kForward) << i;
  }
  EXPECT_EQ(appliance.solo().worker().tables.nat.used(), kPortsOfAnAddress);
  for (std::uint32_t i = 0; i < 100; ++i) {
    EXPECT_EQ(establish(appliance, numbered_client(80'000 + i)), std::nullopt);
  }
}

// Half-open flows give their endpoint up at once, and the member does not know: what it answers to
// the one who had it is not for the one who has it.
TEST(Nat, AMemberThatAnswersAnothersSynReachesNobody) {
  Appliance appliance(one_address(true), 300'000);
  for (std::uint32_t i = 0; i < kPortsOfAnAddress; ++i) {
    appliance.send(tcp(numbered_client(i), kVip).syn().sequence(5000));
  }
  const dataplane::NatTable& nat = appliance.solo().worker().tables.nat;
  ASSERT_EQ(nat.half_open(), kPortsOfAnAddress);
  const Endpoint second = numbered_client(70'000);
  const Outcome syn = appliance.send(tcp(second, kVip).syn().sequence(90'000));
  ASSERT_EQ(syn.verdict, Verdict::kForward);
  const Translated flow = translated(syn);
  const auto answer = [&](std::uint32_t acknowledgment) {
    return tcp(flow.backend, flow.pool).syn().ack().sequence(700).acknowledgment(acknowledgment);
  };
  const auto refusal = [&](std::uint32_t acknowledgment) {
    return tcp(flow.backend, flow.pool).rst().ack().acknowledgment(acknowledgment);
  };
  EXPECT_EQ(appliance.send(answer(5001), kLan).reason, Drop::kNoNatFlow);
  EXPECT_EQ(appliance.send(refusal(5001), kLan).reason, Drop::kNoNatFlow);
  // Nor has it changed anything.
  appliance.send(tcp(second, kVip).ack().acknowledgment(701));
  EXPECT_EQ(nat.half_open(), kPortsOfAnAddress);
  // A challenge is the second one's to answer (RFC 9293 §3.10.7.3), so that the member lets go.
  EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).ack().acknowledgment(5001), kLan).verdict,
            Verdict::kForward);
  EXPECT_EQ(appliance.send(tcp(second, kVip).rst().sequence(5001)).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(tcp(second, kVip).syn().sequence(90'000)).verdict, Verdict::kForward);
  const Outcome answered = appliance.send(answer(90'001), kLan);
  ASSERT_EQ(answered.verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(tcp(second, kVip).ack().acknowledgment(701)).verdict, Verdict::kForward);
  EXPECT_EQ(nat.half_open(), kPortsOfAnAddress - 1);
}

TEST(Nat, ARefusalOfTheClientsOwnSynReachesIt) {
  Appliance appliance(three_backends(Mode::kNat));
  const Translated flow =
      translated(appliance.send(tcp(kClient, kVip).syn().sequence(5000).payload(10)));
  EXPECT_EQ(
      appliance.send(tcp(flow.backend, flow.pool).rst().ack().acknowledgment(5012), kLan).reason,
      Drop::kNoNatFlow);
  EXPECT_EQ(
      appliance.send(tcp(flow.backend, flow.pool).rst().ack().acknowledgment(5011), kLan).verdict,
      Verdict::kForward);
}

// What this burst has opened does not give way to another frame of it.
TEST(Nat, ABurstDoesNotTakeTheEndpointsOfItsOwnFlows) {
  Appliance appliance(one_address(true), 200'000);
  use_up(appliance, 2);
  appliance.advance(1);
  std::vector<Arrival> burst;
  for (std::uint32_t i = 0; i < 4; ++i) {
    burst.push_back({tcp(numbered_client(80'000 + i), kVip).syn().bytes(), kWan});
  }
  std::size_t refused = 0;
  std::set<std::uint16_t> ports;
  for (const Outcome& outcome : appliance.send_burst(burst)) {
    if (outcome.verdict == Verdict::kForward) {
      ports.insert(source_port_of(outcome.bytes));
    } else {
      EXPECT_EQ(outcome.reason, Drop::kNatPoolExhausted);
      ++refused;
    }
  }
  EXPECT_EQ(ports.size(), 2U);
  EXPECT_EQ(refused, 2U);
}

// A query of a numbered client.
Outcome ask(Appliance& appliance, std::uint32_t client) {
  return appliance.send(udp(numbered_client(client), kVip.at_port(53)).payload(4));
}

// The member's answer is for who asked last from its endpoint, or for nobody.
Endpoint answered(Appliance& appliance, const Translated& flow) {
  const Outcome answer = appliance.send(udp(flow.backend.at_port(53), flow.pool).payload(4), kLan);
  if (answer.verdict != Verdict::kForward) {
    return {};
  }
  const auto* const ip = reinterpret_cast<const std::byte*>(answer.bytes.data()) + 14;
  return {dataplane::Address::v4(dataplane::load<dataplane::Be32>(ip + 16)),
          dataplane::load<Be16>(ip + 22).to_host(),
          kRouterMac};
}

// Who asks and is not answered yet may still be: his endpoint is nobody else's until then. Stamps
// are whole seconds, so that of 5.0 s as many as 5.9 may have passed.
TEST(Nat, AnUnansweredQueryKeepsItsEndpointForFiveSecondsAtLeast) {
  Appliance appliance(one_address(true), 300'000);
  appliance.advance(999);  // a second is over at once
  std::vector<Opened> flows;
  for (std::uint32_t i = 0; i < kPortsOfAnAddress; ++i) {
    const Outcome asked = ask(appliance, i);
    ASSERT_EQ(asked.verdict, Verdict::kForward) << i;
    flows.push_back({numbered_client(i), translated(asked)});
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ask(appliance, 70'000).reason, Drop::kNatPoolExhausted) << i;
    appliance.advance(1000);
  }
  EXPECT_EQ(ask(appliance, 70'000).reason, Drop::kNatPoolExhausted);
  for (const Opened& one : flows) {
    const Endpoint to = answered(appliance, one.flow);
    ASSERT_EQ(to.address, one.client.address);
    ASSERT_EQ(to.port, one.client.port);
  }
}

TEST(Nat, AQueryThatNobodyAnsweredGivesWayAfterwards) {
  Appliance appliance(one_address(true), 300'000);
  for (std::uint32_t i = 0; i < kPortsOfAnAddress; ++i) {
    ASSERT_EQ(ask(appliance, i).verdict, Verdict::kForward) << i;
  }
  appliance.advance(6000);
  const Outcome asked = ask(appliance, 70'000);
  ASSERT_EQ(asked.verdict, Verdict::kForward);
  const Endpoint to = answered(appliance, translated(asked));
  EXPECT_EQ(to.address, numbered_client(70'000).address);
  EXPECT_EQ(to.port, numbered_client(70'000).port);
}

// So is the endpoint of a flow that is over, though the sweep has not come by: it takes 1.5 s for
// as many records.
TEST(Nat, AFlowThatIsOverGivesWayBeforeItIsSweptAway) {
  for (const bool with_answer : {false, true}) {
    SCOPED_TRACE(with_answer ? "answered" : "unanswered");
    dataplane::GenerationSpec spec = one_address(true);
    for (dataplane::ServiceSpec& service : spec.services) {
      service.timeouts.half_open = 2;
      service.timeouts.udp = 2;
    }
    Appliance appliance(spec, 300'000);
    appliance.advance(999);
    for (std::uint32_t i = 0; i < kPortsOfAnAddress; ++i) {
      const Outcome asked = ask(appliance, i);
      ASSERT_EQ(asked.verdict, Verdict::kForward) << i;
      if (with_answer) {
        answered(appliance, translated(asked));
      }
    }
    appliance.advance(2000);
    EXPECT_EQ(ask(appliance, 70'000).reason, Drop::kNatPoolExhausted);
    appliance.advance(2);
    const dataplane::NatTable& nat = appliance.solo().worker().tables.nat;
    EXPECT_GT(nat.used(), kPortsOfAnAddress / 2);
    const Outcome asked = ask(appliance, 70'000);
    ASSERT_EQ(asked.verdict, Verdict::kForward);
    const Endpoint to = answered(appliance, translated(asked));
    EXPECT_EQ(to.address, numbered_client(70'000).address);
    EXPECT_EQ(to.port, numbered_client(70'000).port);
  }
}

// The only free endpoint stands anywhere between long-lived flows.
TEST(Nat, TheLastFreeEndpointIsFoundByAndBy) {
  Appliance appliance(one_address(true), 200'000);
  use_up(appliance, 0);
  NatRecord* somewhere = nullptr;
  for (NatRecord& record : appliance.solo().worker().tables.nat.records()) {
    somewhere = record.pool_port == Be16::from_host(40'000) ? &record : somewhere;
  }
  ASSERT_NE(somewhere, nullptr);
  Endpoint member = kBackend1;
  member.port = 80;
  appliance.send(tcp(member, kPool.at_port(40'000).at_mac(kLanMac)).rst(), kLan);
  appliance.advance(4000);
  std::optional<Drop> reason = Drop::kNatPoolExhausted;
  int tries = 0;
  for (; tries < 1100 && reason; ++tries) {
    appliance.advance(1);
    reason = establish(appliance, numbered_client(90'000));
  }
  EXPECT_EQ(reason, std::nullopt);
  EXPECT_EQ(somewhere->client, numbered_client(90'000).address);
}

// A member that asks for the VIP: each of the members answers it, itself too, and always by way of
// the pool, so that the answer comes back through here.
TEST(Nat, AMemberIsAClientLikeAnyOther) {
  for (const bool v4 : {true, false}) {
    SCOPED_TRACE(v4 ? "IPv4" : "IPv6");
    Appliance appliance(three_backends(Mode::kNat));
    const Endpoint member = v4 ? kBackend1 : Endpoint{v6(3, 11), 0, {2, 0, 0, 0, 2, 11}};
    const Endpoint vip = (v4 ? kVip : kVip6).at_mac(kLanMac);
    std::set<std::string> answered;
    for (std::uint16_t port = 5000; port < 5100; ++port) {
      const Endpoint client = member.at_port(port);
      const Outcome syn = appliance.send(tcp(client, vip).syn().ttl(64), kLan);
      ASSERT_EQ(syn.verdict, Verdict::kForward);
      EXPECT_EQ(syn.port, kLan);
      answered.insert(syn.backend);
      NatRecord found;
      for (const NatRecord& record : appliance.solo().worker().tables.nat.records()) {
        found = record.client_port == Be16::from_host(port) ? record : found;
      }
      EXPECT_EQ(found.client, client.address);
      const Address to = appliance.solo().member_record({found.member, found.epoch}).address;
      const MacAddress mac =
          v4 ? MacAddress{2, 0, 0, 0, 1, static_cast<std::uint8_t>(to.bytes[15] - 10)}
             : MacAddress{2, 0, 0, 0, 2, to.bytes[15]};
      const Endpoint pool = {found.pool, found.pool_port.to_host(), kLanMac};
      const Endpoint answerer = {to, 80, mac};
      expect_same(syn.bytes, tcp(pool, answerer).syn().ttl(63).bytes());
      const Outcome answer = appliance.send(tcp(answerer, pool).syn().ack().ttl(64), kLan);
      ASSERT_EQ(answer.verdict, Verdict::kForward);
      EXPECT_EQ(answer.port, kLan);
      expect_same(answer.bytes, tcp(vip, client).syn().ack().ttl(63).bytes());
    }
    EXPECT_EQ(answered.size(), 3U);
  }
}

// RFC 768: no checksum was made, and none is. RFC 6936 §5, requirements 8 and 10: over IPv6 a
// middlebox forwards datagrams with and without one, in one and the same flow; who does not want
// them without is the receiver.
TEST(Nat, AUdpChecksumOfZeroStaysZeroInBothDirectionsAndFamilies) {
  for (const bool v4 : {true, false}) {
    SCOPED_TRACE(v4 ? "IPv4" : "IPv6");
    Appliance appliance(three_backends(Mode::kNat));
    const Endpoint client = v4 ? kClient : kClient6;
    const Endpoint vip = (v4 ? kVip : kVip6).at_port(53);
    const Outcome asked = appliance.send(udp(client, vip).ttl(64).payload("q").no_checksum());
    ASSERT_EQ(asked.verdict, Verdict::kForward);
    NatRecord found;
    for (const NatRecord& record : appliance.solo().worker().tables.nat.records()) {
      found = record.client_port == Be16::from_host(client.port) ? record : found;
    }
    const Address to = appliance.solo().member_record({found.member, found.epoch}).address;
    const MacAddress mac =
        v4 ? MacAddress{2, 0, 0, 0, 1, static_cast<std::uint8_t>(to.bytes[15] - 10)}
           : MacAddress{2, 0, 0, 0, 2, to.bytes[15]};
    const Endpoint pool = {found.pool, found.pool_port.to_host(), kLanMac};
    const Endpoint answerer = {to, 53, mac};
    expect_same(asked.bytes, udp(pool, answerer).ttl(63).payload("q").no_checksum().bytes());
    const Outcome answered =
        appliance.send(udp(answerer, pool).ttl(64).payload("a").no_checksum(), kLan);
    ASSERT_EQ(answered.verdict, Verdict::kForward);
    expect_same(answered.bytes, udp(vip, client).ttl(63).payload("a").no_checksum().bytes());
    // With a checksum: the same flow.
    const Outcome summed = appliance.send(udp(client, vip).ttl(64).payload("q"));
    expect_same(summed.bytes, udp(pool, answerer).ttl(63).payload("q").bytes());
    EXPECT_EQ(appliance.solo().worker().tables.nat.used(), 1U);
  }
}

}  // namespace
}  // namespace holdfast::testing
