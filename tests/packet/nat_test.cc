// SPDX-License-Identifier: Apache-2.0
// Mode `nat` through every stage, both directions.
#include "dataplane/checksum.h"
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"
#include "tests/support/frame_difference.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Drop;
using dataplane::Mode;
using dataplane::Verdict;

std::map<std::string, std::string> fields(const Bytes& frame) {
  std::map<std::string, std::string> result;
  for (const testing::Field& field : describe(frame)) {
    result[field.name] = field.value;
  }
  return result;
}

TEST(Nat, RewritesTowardsTheMemberAndBackAgain) {
  Appliance appliance(three_backends(Mode::kNat));
  const Outcome to_member = appliance.send(tcp(kClient, kVip).syn().ttl(9).payload("hello"));
  ASSERT_EQ(to_member.verdict, Verdict::kForward);
  EXPECT_EQ(to_member.port, kLan);
  const Translated flow = translated(to_member);
  EXPECT_TRUE(appliance.solo().generation().in_pool(flow.pool.address));
  expect_same(to_member.bytes, tcp(flow.pool, flow.backend).syn().ttl(8).payload("hello").bytes());

  const Outcome to_client =
      appliance.send(tcp(flow.backend, flow.pool).syn().ack().ttl(64).payload("world"), kLan);
  ASSERT_EQ(to_client.verdict, Verdict::kForward);
  EXPECT_EQ(to_client.port, kWan);
  expect_same(to_client.bytes, tcp(kVip, kClient).syn().ack().ttl(63).payload("world").bytes());
}

TEST(Nat, MapsThePort) {
  Appliance appliance(three_backends(Mode::kNat));
  const Outcome outcome = appliance.send(tcp(kClient, kVip.at_port(443)).syn());
  ASSERT_EQ(outcome.verdict, Verdict::kForward);
  EXPECT_EQ(fields(outcome.bytes).at("tcp.destination_port"), "8080");
  Translated flow = translated(outcome);
  flow.backend.port = 8080;
  const Outcome reply = appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  EXPECT_EQ(fields(reply.bytes).at("tcp.source_port"), "443");
}

TEST(Nat, TranslatesIpv6) {
  Appliance appliance(three_backends(Mode::kNat));
  const Outcome outcome = appliance.send(tcp(kClient6, kVip6).syn().ttl(9));
  ASSERT_EQ(outcome.verdict, Verdict::kForward);
  const std::uint16_t port = source_port_of(outcome.bytes, 54);
  const Address pool = Address::v6(outcome.bytes.data() + 22);
  const Address backend = Address::v6(outcome.bytes.data() + 38);
  EXPECT_TRUE(appliance.solo().generation().in_pool(pool));
  const MacAddress mac = {2, 0, 0, 0, 2, backend.bytes[15]};
  const Endpoint member = {backend, 80, mac};
  const Endpoint from_pool = {pool, port, kLanMac};
  expect_same(outcome.bytes, tcp(from_pool, member).syn().ttl(8).bytes());
  const Outcome reply = appliance.send(tcp(member, from_pool).syn().ack().ttl(64), kLan);
  expect_same(reply.bytes, tcp(kVip6, kClient6).syn().ack().ttl(63).bytes());
}

TEST(Nat, KeepsAUdpChecksumOfZeroAndCorrectsAnother) {
  Appliance appliance(three_backends(Mode::kNat));
  const Endpoint vip = kVip.at_port(53);
  const Outcome none = appliance.send(udp(kClient, vip).payload("q").no_checksum());
  EXPECT_EQ(fields(none.bytes).at("udp.checksum"), "0000");
  const Outcome some = appliance.send(udp(kClient.at_port(41000), vip).ttl(64).payload("q"));
  Translated flow = translated(some);
  flow.backend.port = 53;
  expect_same(some.bytes, udp(flow.pool, flow.backend).ttl(63).payload("q").bytes());
}

TEST(Nat, GivesEveryFlowItsOwnPoolEndpoint) {
  Appliance appliance(three_backends(Mode::kNat));
  std::set<std::pair<std::string, std::uint32_t>> seen;
  for (std::uint16_t port = 1; port <= 2000; ++port) {
    const Outcome outcome = appliance.send(tcp(kClient.at_port(port), kVip).syn());
    ASSERT_EQ(outcome.verdict, Verdict::kForward);
    const Translated flow = translated(outcome);
    const auto endpoint = (std::uint32_t{flow.pool.address.bytes[15]} << 16) | flow.pool.port;
    EXPECT_TRUE(seen.emplace(outcome.backend, endpoint).second);
  }
}

// One backend behind one pool address: 64 512 endpoints.
dataplane::GenerationSpec one_backend() {
  dataplane::GenerationSpec spec = three_backends(Mode::kNat);
  spec.pools = {{.first = kPool.address, .last = kPool.address}};
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members = {{.backend = "1", .address = kBackend1.address}};
  }
  return spec;
}

Endpoint numbered_client(std::uint32_t number) {
  Endpoint client = kClient.at_port(static_cast<std::uint16_t>(1 + number % 50'000));
  client.address = v4(198, 51, static_cast<std::uint8_t>(100 + number / 50'000), 7);
  return client;
}

TEST(Nat, FindsAFreeEndpointBehindABlockOfLongLivedFlows) {
  Appliance appliance(one_backend(), 200'000);
  for (std::uint32_t i = 0; i < 10'500; ++i) {
    ASSERT_EQ(establish(appliance, numbered_client(i)), std::nullopt);
  }
  // After a restart, or once round, the walk meets them again.
  std::ranges::fill(appliance.solo().worker().pool_cursor, 0);
  for (std::uint32_t i = 10'500; i < 14'000; ++i) {
    ASSERT_EQ(establish(appliance, numbered_client(i)), std::nullopt) << i;
  }
}

TEST(Nat, CountsAnExhaustedPoolAndReusesNothing) {
  Appliance appliance(one_backend(), 200'000);
  std::map<std::optional<Drop>, std::uint32_t> reasons;
  std::set<std::uint16_t> ports;
  for (std::uint32_t i = 0; i < 70'000; ++i) {
    const Endpoint client = numbered_client(i);
    const Outcome syn = appliance.send(tcp(client, kVip).syn());
    ++reasons[syn.reason];
    if (syn.verdict == Verdict::kForward) {
      EXPECT_TRUE(ports.insert(source_port_of(syn.bytes)).second);
      const Translated flow = translated(syn);
      appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
      appliance.send(tcp(client, kVip).ack());
    }
  }
  EXPECT_EQ(ports.size(), 64'512U);
  EXPECT_EQ(reasons[Drop::kNatPoolExhausted], 70'000U - 64'512U);
}

TEST(Nat, AResetLeavesTheRoomOfWhatItCutsBehindIt) {
  for (const auto& [client, vip] : {std::pair(kClient, kVip), std::pair(kClient6, kVip6)}) {
    Appliance appliance(three_backends(Mode::kNat));
    ExactBurst burst(tcp(client, vip).ack().payload(300).bytes(),
                     {.head = 0, .tail = 7, .beyond = 0});
    const std::size_t room = std::size_t{burst.frame().contiguous} + burst.frame().tailroom;
    appliance.solo().run(*burst, 1'000'000);
    ASSERT_EQ(burst->verdict[0], Verdict::kReply);
    EXPECT_LT(burst.frame().contiguous, 80);
    EXPECT_EQ(std::size_t{burst.frame().contiguous} + burst.frame().tailroom, room);
  }
}

TEST(Nat, AnswersAnUnknownSegmentWithAResetAndDropsAnUnknownReset) {
  Appliance appliance(three_backends(Mode::kNat));
  const Outcome answer = appliance.send(tcp(kClient, kVip).ack().acknowledgment(4242));
  EXPECT_EQ(answer.verdict, Verdict::kReply);
  EXPECT_EQ(fields(answer.bytes).at("tcp.sequence"), "4242");
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).rst()).reason, Drop::kNoFlow);
  EXPECT_EQ(appliance.send(tcp(kBackend1, kPool.at_port(2000)).ack(), kLan).reason,
            Drop::kNoNatFlow);
}

TEST(Nat, OnlyTheFlowsOwnMemberIsTranslatedBack) {
  Appliance appliance(three_backends(Mode::kNat));
  const Translated flow = translated(appliance.send(tcp(kClient, kVip).syn()));
  Endpoint stranger = flow.backend;
  stranger.address = v4(10, 0, 3, 99);
  EXPECT_EQ(appliance.send(tcp(stranger, flow.pool).ack(), kLan).reason, Drop::kNoNatFlow);
  EXPECT_EQ(appliance.send(tcp(flow.backend.at_port(81), flow.pool).ack(), kLan).reason,
            Drop::kNoNatFlow);
}

TEST(Nat, ANewConnectionOnAClosedTupleGetsAnotherEndpoint) {
  Appliance appliance(three_backends(Mode::kNat));
  const Translated first = translated(appliance.send(tcp(kClient, kVip).syn()));
  appliance.send(tcp(first.backend, first.pool).syn().ack(), kLan);
  appliance.send(tcp(kClient, kVip).ack());
  appliance.send(tcp(first.backend, first.pool).fin().ack(), kLan);
  appliance.send(tcp(kClient, kVip).fin().ack());
  const Outcome again = appliance.send(tcp(kClient, kVip).syn());
  const Translated second = translated(again);
  EXPECT_NE(std::pair(first.pool.address, first.pool.port),
            std::pair(second.pool.address, second.pool.port));
  // The old flow's late segment still finds its way.
  EXPECT_EQ(appliance.send(tcp(first.backend, first.pool).ack(), kLan).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(tcp(second.backend, second.pool).syn().ack(), kLan).verdict,
            Verdict::kForward);
}

TEST(Nat, DropsAtTtlOneAndWhenTheSourceIsAVip) {
  Appliance appliance(three_backends(Mode::kNat));
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).syn().ttl(1)).reason, Drop::kTtlExpired);
  EXPECT_EQ(appliance.solo().worker().tables.nat.used(), 0U);
  EXPECT_EQ(appliance.send(tcp(kVip.at_port(9).at_mac(kRouterMac), kVip).syn()).reason,
            Drop::kLand);
  EXPECT_EQ(appliance.send(tcp(kPool.at_port(9).at_mac(kRouterMac), kVip).syn()).reason,
            Drop::kVipSource);
}

TEST(Nat, BeginsWithTheFirstEndpointOfThePool) {
  Appliance appliance(three_backends(Mode::kNat));
  const Translated first = translated(appliance.send(tcp(kClient, kVip).syn()));
  EXPECT_EQ(first.pool.address, kPool.address);
  EXPECT_EQ(first.pool.port, 1024);
}

TEST(Nat, AFloodReplacesItsOwnRecordsOnly) {
  Appliance appliance(three_backends(Mode::kNat), 1000);
  std::map<std::uint16_t, Translated> established;
  for (std::uint16_t port = 1; port <= 500; ++port) {
    const Endpoint client = kClient.at_port(port);
    const Translated flow = translated(appliance.send(tcp(client, kVip).syn()));
    appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance.send(tcp(client, kVip).ack());
    established[port] = flow;
  }
  auto& nat = appliance.solo().worker().tables.nat;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    Endpoint attacker = kClient;
    attacker.address = v4(100, 64, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i));
    const Packet packet =
        i % 2 == 0 ? tcp(attacker, kVip).syn() : udp(attacker, kVip.at_port(53)).payload(8);
    ASSERT_EQ(appliance.send(packet).verdict, Verdict::kForward);
  }
  EXPECT_LE(nat.half_open(), nat.records().size() / 4);
  for (const auto& [port, flow] : established) {
    EXPECT_EQ(appliance.send(tcp(kClient.at_port(port), kVip).ack()).verdict, Verdict::kForward);
    EXPECT_EQ(appliance.send(tcp(flow.backend, flow.pool).ack(), kLan).verdict, Verdict::kForward);
  }
}

TEST(Nat, ARecordServesOneFlowThroughoutABurst) {
  Appliance appliance(three_backends(Mode::kNat), 64);
  std::vector<Translated> half_open;
  for (std::uint16_t port = 1; port <= 16; ++port) {
    half_open.push_back(translated(appliance.send(tcp(kClient.at_port(port), kVip).syn())));
  }
  const Translated& oldest = half_open.front();
  std::vector<Arrival> burst = {{tcp(oldest.backend, oldest.pool).syn().ack().bytes(), kLan}};
  for (std::uint16_t port = 101; port < 132; ++port) {
    burst.push_back({tcp(kClient.at_port(port), kVip).syn().bytes(), kWan});
  }
  const auto outcomes = appliance.send_burst(burst);
  ASSERT_EQ(outcomes[0].verdict, Verdict::kForward);
  EXPECT_EQ(fields(outcomes[0].bytes).at("tcp.destination_port"), "1");
  std::set<std::tuple<std::string, std::uint8_t, std::uint16_t>> endpoints;
  std::size_t forwarded = 0;
  for (std::size_t i = 1; i < outcomes.size(); ++i) {
    if (outcomes[i].verdict == Verdict::kForward) {
      const Translated flow = translated(outcomes[i]);
      endpoints.emplace(outcomes[i].backend, flow.pool.address.bytes[15], flow.pool.port);
      ++forwarded;
    } else {
      EXPECT_EQ(outcomes[i].reason, Drop::kNatTableFull);
    }
  }
  EXPECT_EQ(forwarded, 15U);  // those of earlier bursts gave way
  EXPECT_EQ(endpoints.size(), forwarded);
}

TEST(Nat, AOneWayStreamIsNotTheOldestHalfOpenFlow) {
  Appliance appliance(three_backends(Mode::kNat), 1000);
  const Packet datagram = udp(kClient, kVip.at_port(53)).payload(8);
  const Bytes first = appliance.send(datagram).bytes;
  for (std::uint32_t i = 0; i < 5'000; ++i) {
    Endpoint attacker = kClient;
    attacker.address = v4(100, 64, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i));
    appliance.send(tcp(attacker, kVip).syn());
    if (i % 100 == 0) {
      expect_same(appliance.send(datagram).bytes, first);
    }
  }
}

TEST(Nat, AFlowWithoutAnEndpointTakesNobodysRecord) {
  dataplane::GenerationSpec spec = three_backends(Mode::kNat);
  spec.pools = {{.first = kPool6.address, .last = kPool6.address}};
  Appliance appliance(spec, 64);
  for (std::uint16_t port = 1; port <= 16; ++port) {
    appliance.send(tcp(kClient6.at_port(port), kVip6).syn());
  }
  ASSERT_TRUE(appliance.solo().worker().tables.nat.half_open_full());
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).syn()).reason, Drop::kNatPoolExhausted);
  EXPECT_EQ(appliance.solo().worker().tables.nat.half_open(), 16U);
}

TEST(Classify, GivesTheKernelWhatIsNotForAVip) {
  Appliance appliance(three_backends(Mode::kNat));
  const Endpoint other = {v4(192, 0, 2, 2), 22, kOurMac};
  EXPECT_EQ(appliance.send(tcp(kClient, other).syn()).verdict, Verdict::kKernel);
  EXPECT_EQ(appliance.send(tcp(kClient, other).flags(0)).verdict, Verdict::kKernel);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip.at_port(22)).syn()).reason, Drop::kNoService);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).flags(0)).reason, Drop::kBadTcpFlags);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).syn().vlan(7)).reason, Drop::kVlanUnknown);
  EXPECT_EQ(appliance.send(tcp(kClient.at_mac(kOurMac), other).syn()).reason, Drop::kOwnEgress);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip.at_mac(kRouterMac)).syn()).reason, Drop::kNotOurMac);
}

}  // namespace
}  // namespace holdfast::testing
