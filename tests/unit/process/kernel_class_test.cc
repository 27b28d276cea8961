// SPDX-License-Identifier: Apache-2.0
// Which frames for the kernel have a queue of their own.
#include "dataplane/process/kernel_class.h"

#include "tests/support/packet.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using holdfast::testing::Bytes;
using holdfast::testing::kClient;
using holdfast::testing::kClient6;
using holdfast::testing::kVip;
using holdfast::testing::kVip6;
using holdfast::testing::tcp;
using holdfast::testing::udp;

KernelClass class_of(const Bytes& frame) { return kernel_class(std::as_bytes(std::span(frame))); }

// A frame of that EtherType and packet.
Bytes frame(std::uint16_t type, const Bytes& packet) {
  Bytes bytes(12, 2);
  bytes.push_back(static_cast<std::uint8_t>(type >> 8U));
  bytes.push_back(static_cast<std::uint8_t>(type));
  bytes.insert(bytes.end(), packet.begin(), packet.end());
  return bytes;
}

Bytes ipv4(std::uint8_t protocol, const Bytes& payload) {
  Bytes packet = {0x45, 0, 0, 0, 0, 0, 0, 0, 255, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
  packet.insert(packet.end(), payload.begin(), payload.end());
  return frame(0x0800, packet);
}

Bytes ipv6(std::uint8_t next, const Bytes& payload) {
  Bytes packet(40, 0);
  packet[0] = 0x60;
  packet[6] = next;
  packet.insert(packet.end(), payload.begin(), payload.end());
  return frame(0x86dd, packet);
}

Bytes ports(std::uint16_t source, std::uint16_t destination) {
  return {static_cast<std::uint8_t>(source >> 8U),
          static_cast<std::uint8_t>(source),
          static_cast<std::uint8_t>(destination >> 8U),
          static_cast<std::uint8_t>(destination)};
}

struct Case {
  std::string title;
  Bytes frame;
  KernelClass kind;
};

TEST(KernelClass, KnowsWhatRoutersNeighboursAndOperatorsSay) {
  constexpr std::uint8_t kTcp = 6;
  constexpr std::uint8_t kUdp = 17;
  constexpr std::uint8_t kIcmp6 = 58;
  const std::vector<Case> cases = {
      {"ARP", frame(0x0806, Bytes(28, 0)), KernelClass::kNeighbor},
      {"router solicitation", ipv6(kIcmp6, {133, 0}), KernelClass::kNeighbor},
      {"redirect", ipv6(kIcmp6, {137, 0}), KernelClass::kNeighbor},
      {"echo request, IPv6", ipv6(kIcmp6, {128, 0}), KernelClass::kOther},
      {"multicast listener report behind hop-by-hop options",
       ipv6(0, {kIcmp6, 0, 5, 2, 0, 0, 0, 0, 143, 0}),
       KernelClass::kRouting},
      {"BGP, we asked", ipv4(kTcp, ports(179, 40000)), KernelClass::kRouting},
      {"BGP, we are asked, IPv6", ipv6(kTcp, ports(40000, 179)), KernelClass::kRouting},
      {"BFD, single hop", ipv4(kUdp, ports(49152, 3784)), KernelClass::kRouting},
      {"BFD, multihop", ipv6(kUdp, ports(49152, 4784)), KernelClass::kRouting},
      {"port 179 of UDP", ipv4(kUdp, ports(179, 179)), KernelClass::kOther},
      {"OSPF", ipv4(89, {}), KernelClass::kRouting},
      {"VRRP", ipv4(112, {}), KernelClass::kRouting},
      {"LACP", frame(0x8809, {1}), KernelClass::kRouting},
      {"IS-IS", frame(0x0100, {0xfe, 0xfe}), KernelClass::kRouting},
      {"SSH", ipv4(kTcp, ports(40000, 22)), KernelClass::kManagement},
      {"ping", ipv4(1, {8, 0}), KernelClass::kOther},
      {"HTTP", tcp(kClient, kVip.at_port(80)).syn().bytes(), KernelClass::kOther},
      {"BGP behind two tags",
       tcp(kClient, kVip.at_port(179)).vlan(7).vlan(8).syn().bytes(),
       KernelClass::kRouting},
      {"another EtherType", frame(0x88f7, {}), KernelClass::kOther}};
  for (const Case& one : cases) {
    EXPECT_EQ(class_of(one.frame), one.kind) << one.title;
  }
}

TEST(KernelClass, OfAFrameCutAnywhereReadsNothingBehindItsEnd) {
  for (const Bytes& whole : {tcp(kClient, kVip.at_port(179)).vlan(7).syn().bytes(),
                             udp(kClient6, kVip6.at_port(3784)).extension(0, 8).bytes()}) {
    EXPECT_EQ(class_of(whole), KernelClass::kRouting);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      class_of(cut);  // on a heap buffer of that size: the sanitizer judges
    }
  }
}

TEST(KernelClass, OfAFragmentIsOther) {
  Bytes fragment = ipv4(6, ports(40000, 179));
  EXPECT_EQ(class_of(fragment), KernelClass::kRouting);
  fragment[14 + 6] = 0x20;  // more fragments
  EXPECT_EQ(class_of(fragment), KernelClass::kOther);
}

TEST(AddressFilter, HoldsWhatItWasGivenLastAndFewOthers) {
  AddressFilter filter;
  const auto address = [](std::uint32_t number) { return Address::v4(Be32::from_host(number)); };
  std::vector<Address> members;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    members.push_back(address(0x0a000000 + i));
  }
  filter.assign(members);
  EXPECT_TRUE(
      std::ranges::all_of(members, [&](const Address& one) { return filter.may_hold(one); }));
  int others = 0;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    others += filter.may_hold(address(0xcb000000 + i)) ? 1 : 0;
  }
  EXPECT_LT(others, 400);
  filter.assign({});
  EXPECT_FALSE(filter.may_hold(members[0]));
}

}  // namespace
}  // namespace holdfast::dataplane
