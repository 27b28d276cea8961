// SPDX-License-Identifier: Apache-2.0
// What must hold whatever the mode: IPv4 options and IPv6 extension headers are gone around, what
// is no honest packet goes nowhere, and nobody's tunnel is opened.
#include "tests/packet/every_mode.h"

#include <initializer_list>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::Mode;
using dataplane::Verdict;

class EveryMode : public ::testing::TestWithParam<Mode> {
 protected:
  void expect_forwarded(const Packet& packet) {
    expect_carried(spec, packet, appliance.send(packet));
  }
  void expect_dropped(const Packet& packet, Drop why) {
    const Outcome outcome = appliance.send(packet);
    ASSERT_EQ(outcome.verdict, Verdict::kDrop);
    EXPECT_EQ(drop_name(*outcome.reason), drop_name(why));
  }

  dataplane::GenerationSpec spec = in_mode(GetParam());
  Appliance appliance{spec};
};

INSTANTIATE_TEST_SUITE_P(Modes, EveryMode, ::testing::ValuesIn(all_modes()), name_of_mode);

TEST_P(EveryMode, PacketsWithIpv4OptionsOfEveryLengthAreForwardedWhole) {
  for (std::size_t size = 0; size <= 40; size += 4) {
    Bytes options(size, 1);
    if (size >= 8) {  // a loose source route, which nobody follows here
      options = {131, 7, 4, 10, 0, 0, 1};
      options.resize(size, 1);
    }
    expect_forwarded(tcp(kClient, kVip).syn().options(options).payload("data"));
    expect_forwarded(udp(kClient, kVip.at_port(53)).options(options).payload(size));
  }
}

TEST_P(EveryMode, OptionsMayHideNoPorts) {
  // Where the UDP header would be without options stands the port of a service.
  Bytes options(8, 1);
  options[2] = 0;
  options[3] = 53;
  expect_dropped(udp(kClient, kVip.at_port(54)).options(options), Drop::kNoService);
}

TEST_P(EveryMode, FourExtensionHeadersAreForwardedAndFiveAreNot) {
  Packet four = tcp(kClient6, kVip6).syn().extension(0, 8).extension(60, 16);
  four.extension(43, 8, {4, 0}).extension(60, 8).payload("data");
  expect_forwarded(four);
  expect_dropped(four.extension(60, 8), Drop::kExtensionChain);
}

TEST_P(EveryMode, ExtensionHeadersOf256BytesAreForwardedAndOf264AreNot) {
  expect_forwarded(udp(kClient6, kVip6.at_port(53)).extension(60, 256).payload(3));
  expect_forwarded(
      tcp(kClient6, kVip6).syn().extension(0, 64).extension(60, 64).extension(60, 128));
  expect_dropped(udp(kClient6, kVip6.at_port(53)).extension(60, 264), Drop::kExtensionChain);
  expect_dropped(udp(kClient6, kVip6.at_port(53)).extension(0, 128).extension(60, 136),
                 Drop::kExtensionChain);
}

TEST_P(EveryMode, ATtlOfZeroGoesNowhereAndOneOnlyWhereItIsNotDecremented) {
  for (const auto& [client, vip] : {std::pair(kClient, kVip), std::pair(kClient6, kVip6)}) {
    expect_dropped(tcp(client, vip).syn().ttl(0), Drop::kTtlExpired);
    if (GetParam() == Mode::kNat) {
      expect_dropped(tcp(client, vip).syn().ttl(1), Drop::kTtlExpired);
    } else {
      expect_forwarded(tcp(client, vip).syn().ttl(1));
    }
    expect_forwarded(tcp(client, vip).syn().ttl(2));
  }
}

TEST_P(EveryMode, ScansByFlagsReachNobody) {
  constexpr std::uint8_t kXmas = 0x29;  // FIN, PSH, URG
  for (const auto& [client, vip] : {std::pair(kClient, kVip), std::pair(kClient6, kVip6)}) {
    expect_dropped(tcp(client, vip).syn().fin(), Drop::kBadTcpFlags);
    expect_dropped(tcp(client, vip).syn().rst(), Drop::kBadTcpFlags);
    expect_dropped(tcp(client, vip).flags(0), Drop::kBadTcpFlags);
    expect_dropped(tcp(client, vip).flags(kXmas), Drop::kBadTcpFlags);
    expect_dropped(tcp(client, vip).flags(0x3f), Drop::kBadTcpFlags);
    expect_dropped(tcp(client, vip).flags(0xff), Drop::kBadTcpFlags);
    expect_dropped(tcp(client, vip).fin(), Drop::kBadTcpFlags);
  }
  EXPECT_EQ(appliance.stats().flows_inserted.get(), 0U);
}

TEST_P(EveryMode, NobodySendsFromAVip) {
  dataplane::BindingSpec other = spec.services.front().bindings.front();
  other.vip = v4(203, 0, 113, 11);
  spec.services.front().bindings.push_back(other);
  appliance.publish(spec);
  const Endpoint vip = {other.vip, 40000, kRouterMac};
  expect_dropped(tcp(vip, kVip).syn(), Drop::kVipSource);
  expect_dropped(udp(vip, kVip.at_port(53)), Drop::kVipSource);
  expect_dropped(echo_request(vip, kVip), Drop::kVipSource);
  expect_dropped(tcp(kVip.at_mac(kRouterMac), kVip).syn(), Drop::kLand);
  EXPECT_EQ(appliance.stats().flows_inserted.get(), 0U);
}

// A packet for a member, as a client would hide it in a tunnel.
Bytes hidden(std::size_t from) {
  const Packet inner = tcp(kClient, kBackend1.at_port(80)).syn().payload("secret");
  return behind(inner.bytes(), from);
}

TEST_P(EveryMode, AClientsTunnelPacketIsNotOpened) {
  const std::vector<std::pair<std::uint8_t, Bytes>> protocols = {{4, hidden(14)},   // IPIP
                                                                 {41, hidden(14)},  // IPv6 in IP
                                                                 {47, {0, 0, 0x08, 0x00}}};  // GRE
  for (const auto& [number, start] : protocols) {
    Bytes inside = start;
    if (number == 47) {
      const Bytes packet = hidden(14);
      inside.insert(inside.end(), packet.begin(), packet.end());
    }
    for (const auto& [client, vip] : {std::pair(kClient, kVip), std::pair(kClient6, kVip6)}) {
      expect_dropped(udp(client, vip.at_port(53)).next_protocol(number).payload(inside),
                     Drop::kUnknownProtocol);
      expect_dropped(tcp(client, vip).syn().next_protocol(number), Drop::kUnknownProtocol);
    }
  }
  Bytes vxlan = {8, 0, 0, 0, 0, 0x12, 0x67, 0};
  const Bytes frame = hidden(0);
  vxlan.insert(vxlan.end(), frame.begin(), frame.end());
  for (const auto& [client, vip] : {std::pair(kClient, kVip), std::pair(kClient6, kVip6)}) {
    expect_dropped(udp(client, vip.at_port(6080)).payload(hidden(14)), Drop::kNoService);
    expect_dropped(udp(client, vip.at_port(4789)).payload(vxlan), Drop::kNoService);
  }
  EXPECT_EQ(appliance.stats().flows_inserted.get(), 0U);
}

TEST_P(EveryMode, AClientsTunnelPacketIsForwardedWholeWhereAServiceListens) {
  for (dataplane::BindingSpec& binding : spec.services.at(1).bindings) {
    binding.first_port = 4789;
    binding.last_port = 6080;
  }
  appliance.publish(spec);
  Bytes vxlan = {8, 0, 0, 0, 0, 0x12, 0x67, 0};
  const Bytes frame = hidden(0);
  vxlan.insert(vxlan.end(), frame.begin(), frame.end());
  expect_forwarded(udp(kClient, kVip.at_port(4789)).payload(vxlan));
  expect_forwarded(udp(kClient, kVip.at_port(6080)).payload(hidden(14)));
  expect_forwarded(udp(kClient6, kVip6.at_port(6080)).payload(hidden(14)));
}

}  // namespace
}  // namespace holdfast::testing
