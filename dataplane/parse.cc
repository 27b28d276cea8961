// SPDX-License-Identifier: Apache-2.0
// The link layer of parse: Ethernet, up to two VLAN tags, ARP. Per packet, on the workers.
#include "dataplane/parse.h"

#include "dataplane/headers.h"
#include "dataplane/parse_layers.h"
#include "dataplane/parse_plain.h"
#include "dataplane/prefetch.h"

namespace holdfast::dataplane {
namespace {

bool is_tag(Be16 type) { return type == kEtherVlan || type == kEtherServiceVlan; }

bool parse_network(Burst& burst, Slot slot, Be16 type) {
  if (type == kEtherIpv4) [[likely]] {
    return parsing::parse_ipv4(burst, slot);
  }
  if (type == kEtherIpv6) {
    return parsing::parse_ipv6(burst, slot);
  }
  const bool arp = type == kEtherArp && read_arp(burst.frame[slot], burst.l3_offset[slot]);
  burst.kind[slot] = arp ? Kind::kArp : Kind::kOther;
  return true;
}

[[gnu::noinline]] bool parse_link(Burst& burst, Slot slot) {
  const Frame& frame = burst.frame[slot];
  if (frame.contiguous < sizeof(EthernetHeader)) [[unlikely]] {
    return burst.drop(slot, Drop::kTruncated);
  }
  auto type = load<Be16>(frame.data + offsetof(EthernetHeader, type));
  std::uint8_t offset = sizeof(EthernetHeader);
  VlanTags found;
  for (unsigned tags = 0; is_tag(type) && tags < kMostVlanTags; ++tags) {
    if (frame.contiguous < offset + sizeof(VlanTag)) {
      return burst.drop(slot, Drop::kTruncated);
    }
    const auto tag = load<VlanTag>(frame.data + offset);
    found.add(type == kEtherServiceVlan, tag.control.to_host());
    type = tag.type;
    offset += static_cast<std::uint8_t>(sizeof(VlanTag));
  }
  burst.tags[slot] = found;
  burst.l3_offset[slot] = offset;
  return parse_network(burst, slot, type);
}

}  // namespace

std::optional<ArpPacket> read_arp(const Frame& frame, std::uint8_t l3_offset) {
  if (frame.contiguous < l3_offset + sizeof(ArpPacket) ||
      load<Be16>(frame.data + l3_offset - sizeof(Be16)) != kEtherArp) {
    return std::nullopt;
  }
  const auto arp = load<ArpPacket>(frame.data + l3_offset);
  if (arp.hardware != kArpEthernet || arp.protocol != kEtherIpv4 ||
      arp.hardware_length != sizeof(MacAddress) || arp.protocol_length != sizeof arp.sender) {
    return std::nullopt;
  }
  return arp;
}

void parse(Burst& burst) {
  for (const Slot slot : burst.live_slots()) {
    prefetch(burst.frame[slot].data);
  }
  burst.filter(
      [&](Slot slot) { return parsing::parse_plain(burst, slot) || parse_link(burst, slot); });
}

}  // namespace holdfast::dataplane
