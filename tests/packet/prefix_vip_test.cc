// SPDX-License-Identifier: Apache-2.0
// Prefixes of VIPs and any port, in every mode and both families.
#include "dataplane/generation_checks.h"
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"
#include "tests/support/frame_difference.h"
#include "tests/support/second_life.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::BindingSpec;
using dataplane::Disposition;
using dataplane::Drop;
using dataplane::GenerationSpec;
using dataplane::Mode;
using dataplane::Verdict;

constexpr std::array kModes = {
    Mode::kNat, Mode::kDsr, Mode::kIpip, Mode::kGue, Mode::kGre, Mode::kVxlan};

// web: any TCP port, dns: any UDP port, of 203.0.113.32/27 and 2001:db8:0:2::20/123.
GenerationSpec with_prefixes(Mode mode) {
  GenerationSpec spec = three_backends(mode);
  spec.services.resize(2);
  for (dataplane::ServiceSpec& service : spec.services) {
    const Protocol protocol = service.name == "web" ? Protocol::kTcp : Protocol::kUdp;
    service.bindings = {{.vip = v4(203, 0, 113, 32),
                         .protocol = protocol,
                         .first_port = 1,
                         .last_port = 65535,
                         .prefix_bits = 96 + 27},
                        {.vip = v6(2, 32),
                         .protocol = protocol,
                         .first_port = 1,
                         .last_port = 65535,
                         .prefix_bits = 123}};
  }
  return spec;
}

Endpoint vip4(std::uint8_t host, std::uint16_t port = 80) {
  return {v4(203, 0, 113, host), port, kOurMac};
}
Endpoint vip6(std::uint8_t host, std::uint16_t port = 80) { return {v6(2, host), port, kOurMac}; }

std::size_t used_entries(Appliance& appliance) {
  const dataplane::WorkerTables& tables = appliance.solo().worker().tables;
  return tables.v4.used() + tables.v6.used() + tables.wide.used() + tables.nat.used();
}

TEST(PrefixVip, ForwardsToEveryAddressAndPortInEveryMode) {
  for (const Mode mode : kModes) {
    Appliance appliance(with_prefixes(mode));
    for (const std::uint8_t host : {std::uint8_t{32}, std::uint8_t{47}, std::uint8_t{63}}) {
      for (const std::uint16_t port : {std::uint16_t{1}, std::uint16_t{80}, std::uint16_t{65535}}) {
        const auto expect_forwarded = [&](const Packet& packet) {
          const Outcome outcome = appliance.send(packet);
          EXPECT_EQ(outcome.verdict, Verdict::kForward) << mode_name(mode) << " port " << port;
          EXPECT_FALSE(outcome.backend.empty());
        };
        expect_forwarded(tcp(kClient, vip4(host, port)).syn());
        expect_forwarded(tcp(kClient6, vip6(host, port)).syn());
        expect_forwarded(udp(kClient, vip4(host, port)).payload(9));
        expect_forwarded(udp(kClient6, vip6(host, port)).payload(9));
      }
    }
    EXPECT_EQ(used_entries(appliance), 36U) << mode_name(mode);
    EXPECT_EQ(appliance.send(tcp(kClient, vip4(31)).syn()).verdict, Verdict::kKernel);
    EXPECT_EQ(appliance.send(tcp(kClient, vip4(64)).syn()).verdict, Verdict::kKernel);
    EXPECT_EQ(appliance.send(tcp(kClient6, vip6(31)).syn()).verdict, Verdict::kKernel);
    EXPECT_EQ(appliance.send(tcp(kClient6, vip6(64)).syn()).verdict, Verdict::kKernel);
  }
}

// A flow of each VIP of the prefix: the same client and ports, other entries, each with its member.
TEST(PrefixVip, TwoVipsOfAPrefixNeverShareAnEntry) {
  for (const Mode mode : kModes) {
    Appliance appliance(with_prefixes(mode));
    std::map<std::uint8_t, std::string> chosen4;
    std::map<std::uint8_t, std::string> chosen6;
    for (std::uint8_t host = 32; host < 64; ++host) {
      chosen4[host] = appliance.send(tcp(kClient, vip4(host)).syn()).backend;
      chosen6[host] = appliance.send(tcp(kClient6, vip6(host)).syn()).backend;
    }
    EXPECT_EQ(used_entries(appliance), 64U) << mode_name(mode);
    std::set<std::string> all;
    for (const auto& [host, backend] : chosen4) {
      all.insert(backend);
      EXPECT_EQ(appliance.send(tcp(kClient, vip4(host)).ack()).backend, backend);
    }
    EXPECT_GT(all.size(), 1U);
    for (const auto& [host, backend] : chosen6) {
      EXPECT_EQ(appliance.send(tcp(kClient6, vip6(host)).ack()).backend, backend);
    }
    EXPECT_EQ(used_entries(appliance), 64U) << mode_name(mode);
  }
}

TEST(PrefixVip, DsrLeavesThePacketAsItCame) {
  Appliance appliance(with_prefixes(Mode::kDsr));
  for (Packet packet : {tcp(kClient, vip4(44, 8443)).syn(), tcp(kClient6, vip6(44, 8443)).syn()}) {
    const Bytes before = packet.bytes();
    const Outcome outcome = appliance.send(before);
    ASSERT_EQ(outcome.verdict, Verdict::kForward);
    ASSERT_EQ(outcome.bytes.size(), before.size());
    EXPECT_TRUE(std::equal(before.begin() + 12, before.end(), outcome.bytes.begin() + 12));
  }
}

TEST(PrefixVip, ATunnelCarriesThePacketAsItCame) {
  for (const Mode mode : {Mode::kIpip, Mode::kGue, Mode::kGre, Mode::kVxlan}) {
    Appliance appliance(with_prefixes(mode));
    for (Packet packet : {tcp(kClient, vip4(44)).syn(), tcp(kClient6, vip6(44)).syn()}) {
      const Bytes before = packet.bytes();
      const Outcome outcome = appliance.send(before);
      ASSERT_EQ(outcome.verdict, Verdict::kForward);
      ASSERT_GT(outcome.bytes.size(), before.size());
      EXPECT_TRUE(std::equal(before.begin() + 14,
                             before.end(),
                             outcome.bytes.end() - static_cast<int>(before.size() - 14)))
          << mode_name(mode);
    }
  }
}

TEST(PrefixVip, TheReplyComesFromTheVeryAddressThatTheClientAsked) {
  Appliance appliance(with_prefixes(Mode::kNat));
  std::map<std::uint8_t, Translated> flows;
  for (std::uint8_t host = 32; host < 64; ++host) {
    flows[host] = translated(appliance.send(tcp(kClient, vip4(host)).syn()));
  }
  for (const auto& [host, flow] : flows) {
    const Outcome reply = appliance.send(tcp(flow.backend, flow.pool).syn().ack().ttl(64), kLan);
    ASSERT_EQ(reply.verdict, Verdict::kForward);
    expect_same(reply.bytes, tcp(vip4(host), kClient).syn().ack().ttl(63).bytes());
  }
}

TEST(PrefixVip, TheReplyOfIpv6LikewiseAndByUdpOfAnyPort) {
  Appliance appliance(with_prefixes(Mode::kNat));
  for (std::uint8_t host = 32; host < 64; ++host) {
    const auto port = static_cast<std::uint16_t>(5000 + host);
    const Outcome outcome = appliance.send(udp(kClient6, vip6(host, port)).payload("q"));
    ASSERT_EQ(outcome.verdict, Verdict::kForward);
    const Address backend = Address::v6(outcome.bytes.data() + 38);
    const Endpoint member = {backend, port, {2, 0, 0, 0, 2, backend.bytes[15]}};
    const Endpoint pool = {
        Address::v6(outcome.bytes.data() + 22), source_port_of(outcome.bytes, 54), kLanMac};
    const Outcome reply = appliance.send(udp(member, pool).payload("a").ttl(64), kLan);
    ASSERT_EQ(reply.verdict, Verdict::kForward);
    expect_same(reply.bytes, udp(vip6(host, port), kClient6).payload("a").ttl(63).bytes());
  }
}

// The index knows 32 bits of a hash. Here the record of one VIP also stands where another's would.
TEST(PrefixVip, ATranslationOfAnotherVipIsNotFollowedWhereTheTagsAreTheSame) {
  Appliance appliance(with_prefixes(Mode::kNat));
  appliance.send(tcp(kClient, vip4(40)).syn());
  dataplane::NatTable& nat = appliance.solo().worker().tables.nat;
  std::uint32_t index = 0;
  while (nat.record(index).state == dataplane::FlowState::kFree) {
    ++index;
  }
  const dataplane::FlowKey other = {.source = kClient.address,
                                    .destination = vip4(41).address,
                                    .source_port = Be16::from_host(kClient.port),
                                    .destination_port = Be16::from_host(80),
                                    .protocol = Protocol::kTcp};
  ASSERT_TRUE(nat.forward().insert(appliance.solo().generation().hasher()(other), index));
  EXPECT_EQ(appliance.send(tcp(kClient, vip4(41)).ack()).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(tcp(kClient, vip4(40)).ack()).verdict, Verdict::kForward);
}

TEST(PrefixVip, ASingleVipInItIsAServiceOfItsOwnOnItsOwnPort) {
  GenerationSpec spec = three_backends(Mode::kDsr);  // tcp/80 at kVip
  spec.services[0].members = {{.backend = "1", .address = kBackend1.address}};
  spec.services[1].name = "around";
  spec.services[1].members = {{.backend = "2", .address = kBackend2.address}};
  spec.services[1].bindings = {{.vip = v4(203, 0, 113, 0),
                                .protocol = Protocol::kTcp,
                                .first_port = 81,
                                .last_port = 65535,
                                .prefix_bits = 96 + 24}};
  Appliance appliance(spec);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).syn()).backend, "1");
  EXPECT_EQ(appliance.send(tcp(kClient, kVip.at_port(443)).syn()).backend, "2");
  EXPECT_EQ(appliance.send(tcp(kClient, vip4(200, 443)).syn()).backend, "2");
  EXPECT_EQ(appliance.send(tcp(kClient, vip4(200, 80)).syn()).reason, Drop::kNoService);
}

// A prefix is routed to us: on a link another host may have an address in it.
TEST(PrefixVip, IsPingedAndNotAnsweredForOnALink) {
  Appliance appliance(with_prefixes(Mode::kDsr));
  EXPECT_EQ(appliance.send(arp_request(kClient, vip4(40).address)).verdict, Verdict::kKernel);
  const Endpoint asker = {v6(2, 200), 0, kClient6.mac};
  EXPECT_EQ(
      appliance
          .send(neighbor_solicitation(asker, solicited_nodes(vip6(40).address), vip6(40).address))
          .verdict,
      Verdict::kKernel);
  EXPECT_EQ(appliance.send(echo_request(kClient, vip4(40))).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(tcp({vip4(41).address, 9, kRouterMac}, vip4(40)).syn()).reason,
            Drop::kVipSource);
}

TEST(PrefixVip, FlowsOutliveTheProcess) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat, Mode::kGue}) {
    const GenerationSpec spec = with_prefixes(mode);
    Appliance appliance(spec);
    std::map<std::uint8_t, std::string> chosen4;
    std::map<std::uint8_t, std::string> chosen6;
    for (std::uint8_t host = 32; host < 64; ++host) {
      chosen4[host] = appliance.send(tcp(kClient, vip4(host)).syn()).backend;
      chosen6[host] = appliance.send(tcp(kClient6, vip6(host)).syn()).backend;
    }
    Region region(appliance.solo().shared());
    Adopted second(adopted_state(region, appliance), spec);
    EXPECT_EQ(second.report.kept, 64U);
    EXPECT_EQ(second.report.dropped, 0U);
    for (std::uint8_t host = 32; host < 64; ++host) {
      EXPECT_EQ(second.send(tcp(kClient, vip4(host)).ack().bytes(), 1'000'000), chosen4[host]);
      EXPECT_EQ(second.send(tcp(kClient6, vip6(host)).ack().bytes(), 1'000'000), chosen6[host]);
    }
  }
}

// What a damaged file may hold: a destination outside of the binding's prefix.
TEST(PrefixVip, AnEntryOfAnotherDestinationIsNotAdopted) {
  const GenerationSpec spec = with_prefixes(Mode::kDsr);
  Appliance appliance(spec);
  appliance.send(tcp(kClient, vip4(40)).syn());
  appliance.send(tcp(kClient6, vip6(40)).syn());
  dataplane::WorkerTables& tables = appliance.solo().worker().tables;
  const auto damage = [](auto& table, const auto& change) {
    for (auto& bucket : table.buckets()) {
      for (auto& entry : bucket.way) {
        if (entry.state != dataplane::FlowState::kFree) {
          change(entry);
        }
      }
    }
  };
  damage(tables.v6, [](auto& entry) { entry.destination = v4(203, 0, 113, 4).v4_bits().wire(); });
  damage(tables.wide, [](auto& entry) { entry.destination = v6(9, 40); });
  Region region(appliance.solo().shared());
  const Adopted second(adopted_state(region, appliance), spec);
  EXPECT_EQ(second.report.kept, 0U);
  EXPECT_EQ(second.report.dropped, 2U);
}

TEST(PrefixVip, ARecordOfAnotherDestinationIsNotAdopted) {
  const GenerationSpec spec = with_prefixes(Mode::kNat);
  Appliance appliance(spec);
  appliance.send(tcp(kClient, vip4(40)).syn());
  dataplane::NatTable& nat = appliance.solo().worker().tables.nat;
  for (std::uint32_t i = 0; i < nat.records().size(); ++i) {
    nat.vip(i) = v4(192, 0, 2, 1);
  }
  Region region(appliance.solo().shared());
  const Adopted second(adopted_state(region, appliance), spec);
  EXPECT_EQ(second.report.kept, 0U);
  EXPECT_EQ(second.report.dropped, 1U);
}

TEST(PrefixVip, FlowsAreSweptCountedAndDrained) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat}) {
    GenerationSpec spec = with_prefixes(mode);
    spec.services[0].timeouts.half_open = 3;
    Appliance appliance(spec);
    for (std::uint8_t host = 32; host < 64; ++host) {
      appliance.send(tcp(kClient, vip4(host)).syn());
      appliance.send(tcp(kClient6, vip6(host)).syn());
    }
    const auto live = [&] {
      std::uint64_t flows = 0;
      for (const dataplane::MemberStats& member : appliance.solo().worker().members) {
        flows += member.live_flows.get();
      }
      return flows;
    };
    EXPECT_EQ(live(), 64U);
    appliance.advance(4'000);
    for (int i = 0; i < 3; ++i) {
      appliance.send(tcp(kClient, vip4(31)).syn());
      appliance.advance(2'000);
    }
    EXPECT_EQ(live(), 0U) << mode_name(mode);
    EXPECT_EQ(used_entries(appliance), 0U) << mode_name(mode);
  }
}

TEST(PrefixVip, AResetFlowOfOneVipLeavesTheOthers) {
  Appliance appliance(with_prefixes(Mode::kDsr));
  const std::string backend = appliance.send(tcp(kClient, vip4(40)).syn()).backend;
  appliance.send(tcp(kClient, vip4(40)).ack());
  std::uint8_t other = 41;
  while (appliance.send(tcp(kClient, vip4(other)).syn()).backend == backend) {
    ++other;
  }
  appliance.send(tcp(kClient, vip4(other)).ack());
  appliance.set(backend, Disposition::kReset);
  EXPECT_EQ(appliance.send(tcp(kClient, vip4(40)).ack()).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(tcp(kClient, vip4(other)).ack()).verdict, Verdict::kForward);
}

std::string defect(const BindingSpec& a, const BindingSpec& b) {
  GenerationSpec spec = three_backends(Mode::kDsr);
  spec.services[0].bindings = {a};
  spec.services[1].bindings = {b};
  return defect_of(spec);
}

BindingSpec bound(const Address& vip, unsigned bits, std::uint16_t first, std::uint16_t last) {
  return {.vip = vip,
          .protocol = Protocol::kTcp,
          .first_port = first,
          .last_port = last,
          .prefix_bits = static_cast<std::uint8_t>(bits)};
}

TEST(PrefixVip, TheDataplaneTakesNoOverlapFromTheSeamEither) {
  const BindingSpec outer = bound(v4(203, 0, 112, 0), 96 + 23, 100, 200);
  EXPECT_NE(defect(outer, bound(v4(203, 0, 113, 9), 128, 200, 300)), "");
  EXPECT_EQ(defect(outer, bound(v4(203, 0, 113, 9), 128, 201, 300)), "");
  EXPECT_EQ(defect(outer, bound(v4(203, 0, 114, 9), 128, 200, 300)), "");
  EXPECT_NE(defect(bound(v4(203, 0, 113, 0), 96 + 24, 1, 65535), outer), "");
  EXPECT_NE(defect(outer, outer), "");
  EXPECT_NE(defect(bound(v6(2, 0), 64, 1, 65535), bound(v6(2, 9), 128, 80, 80)), "");
}

TEST(PrefixVip, TheDataplaneTakesNoOtherPrefixesFromTheSeam) {
  const BindingSpec other = bound(v4(203, 0, 113, 9), 128, 80, 80);
  EXPECT_NE(defect(other, bound(v4(10, 0, 0, 1), 96 + 8, 80, 80)), "") << "host bits";
  EXPECT_NE(defect(other, bound(v4(10, 0, 0, 0), 96 + 7, 80, 80)), "");
  EXPECT_NE(defect(other, bound(address("2000::"), 15, 80, 80)), "");
  EXPECT_NE(defect(other, bound(v4(10, 0, 0, 0), 129, 80, 80)), "");
  EXPECT_EQ(defect(other, bound(v4(10, 0, 0, 0), 96 + 8, 80, 80)), "");
  GenerationSpec spec = with_prefixes(Mode::kNat);
  spec.pools.push_back({.first = v4(203, 0, 113, 60), .last = v4(203, 0, 113, 90)});
  EXPECT_NE(defect_of(spec), "") << "a pool that reaches into the prefix";
  spec.pools.back() = {.first = v4(203, 0, 113, 40), .last = v4(203, 0, 113, 41)};
  EXPECT_NE(defect_of(spec), "") << "a pool inside of the prefix";
  spec.pools.back() = {.first = v4(203, 0, 113, 64), .last = v4(203, 0, 113, 90)};
  EXPECT_EQ(defect_of(spec), "");
}

}  // namespace
}  // namespace holdfast::testing
