// SPDX-License-Identifier: Apache-2.0
// The answers and announcements. Rare packets: correctness before speed, headers are rebuilt whole.
#include "dataplane/respond.h"

#include "dataplane/checksum.h"

#include <algorithm>
#include <utility>

namespace holdfast::dataplane {
namespace {

constexpr std::uint8_t kReplyTtl = 64;
constexpr std::uint8_t kDiscoveryHopLimit = 255;
constexpr std::uint8_t kIpv4NoOperation = 1;
constexpr MacAddress kAllNodesMac = {0x33, 0x33, 0, 0, 0, 1};
constexpr Address kAllNodes = {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
constexpr std::array<std::uint8_t, 13> kSolicitedNodes = {
    0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff};

bool is_multicast(const Address& v6) { return v6.bytes[0] == 0xff; }

// The link header of the reply, if it can be sent.
std::optional<EthernetHeader> reverse_link(EthernetHeader link) {
  if (is_group(link.source) || is_group(link.destination)) {
    return std::nullopt;
  }
  std::swap(link.source, link.destination);
  return link;
}

void reverse_ipv4(std::byte* at) {
  auto ip = load<Ipv4Header>(at);
  const std::size_t header = ip.header_length();
  std::swap(ip.source, ip.destination);
  ip.ttl = kReplyTtl;
  ip.checksum = Be16{};
  store(at, ip);
  std::fill(at + sizeof ip, at + header, std::byte{kIpv4NoOperation});
  store(at + offsetof(Ipv4Header, checksum), ChecksumSum({at, header}).checksum());
}

void reverse_ipv6(std::byte* at) {
  auto ip = load<Ipv6Header>(at);
  std::swap(ip.source, ip.destination);
  ip.hop_limit = kReplyTtl;
  store(at, ip);
}

// The upper-layer packet of a slot. Requires: it is contiguous.
std::span<const std::byte> upper_packet(const Frame& frame, const Burst& burst, Slot slot) {
  const std::size_t begin = burst.l4_offset[slot];
  const std::size_t end = std::size_t{burst.l3_offset[slot]} + burst.l3_length[slot];
  return frame.bytes().subspan(begin, end - begin);
}

bool is_contiguous(const Frame& frame, const Burst& burst, Slot slot) {
  return std::size_t{burst.l3_offset[slot]} + burst.l3_length[slot] <= frame.contiguous;
}

// Over the whole message, and the pseudo header where there is one; swapped addresses do not
// matter.
ChecksumSum icmp_sum(const Frame& frame, const Burst& burst, Slot slot) {
  const FlowKey& key = burst.key[slot];
  const auto packet = upper_packet(frame, burst, slot);
  const ChecksumSum sum(packet);
  return key.protocol == Protocol::kIcmp
             ? sum
             : sum + pseudo_header(key.source,
                                   key.destination,
                                   Protocol::kIcmp6,
                                   static_cast<std::uint32_t>(packet.size()));
}

bool icmp_verifies(const Frame& frame, const Burst& burst, Slot slot) {
  return icmp_sum(frame, burst, slot).verifies();
}

// The checksum after the type has become `reply`. What does not lie in one piece is not summed
// again but updated, which cannot tell 0 from 0xffff when everything else is zero (RFC 1624 §3):
// 0xffff verifies in both cases.
void write_echo_type(Frame& frame, const Burst& burst, Slot slot, std::uint8_t reply) {
  std::byte* const icmp = frame.data + burst.l4_offset[slot];
  std::byte* const checksum = icmp + offsetof(IcmpHeader, checksum);
  const auto before = load<Be16>(icmp);
  store(icmp, reply);
  if (is_contiguous(frame, burst, slot)) {
    store(checksum, Be16{});
    store(checksum, icmp_sum(frame, burst, slot).checksum());
    return;
  }
  ChecksumSum change;
  change.replace(before, load<Be16>(icmp));
  const Be16 updated = update_checksum(load<Be16>(checksum), change);
  store(checksum, updated == Be16{} ? Be16::from_host(0xffff) : updated);
}

// What stands in a valid neighbour solicitation.
struct Solicitation {
  Address source;
  Address target;
  std::optional<MacAddress> source_mac = std::nullopt;
};

// Walks the options; false when one has no length or reaches past the message.
bool read_options(std::span<const std::byte> options, Solicitation& into) {
  while (!options.empty()) {
    if (options.size() < sizeof(LinkLayerOption)) {
      return false;
    }
    const auto option = load<LinkLayerOption>(options.data());
    const std::size_t size = std::size_t{option.length} * 8;
    if (size == 0 || size > options.size()) {
      return false;
    }
    if (option.type == kOptionSourceLinkLayer && option.length == 1) {
      into.source_mac = option.mac;
    }
    options = options.subspan(size);
  }
  return true;
}

// RFC 4861 §7.1.1; parse has checked hop limit, code and the least length.
std::optional<Solicitation> read_solicitation(const Frame& frame, const Burst& burst, Slot slot) {
  if (!is_contiguous(frame, burst, slot) || !icmp_verifies(frame, burst, slot)) {
    return std::nullopt;
  }
  Solicitation result{.source = burst.key[slot].source,
                      .target = solicited_target(frame, burst, slot)};
  const auto options = upper_packet(frame, burst, slot).subspan(sizeof(NeighborMessage));
  if (is_multicast(result.target) || !read_options(options, result)) {
    return std::nullopt;
  }
  const auto& destination = burst.key[slot].destination.bytes;
  const bool to_solicited_nodes =
      std::ranges::equal(kSolicitedNodes, std::span(destination).first(13));
  if (result.source == Address{} && (result.source_mac || !to_solicited_nodes)) {
    return std::nullopt;
  }
  return result;
}

struct Advertisement {
  Address target;
  Address destination;
  std::uint32_t flags = 0;
  MacAddress mac{};
};

// Writes the IPv6 packet, kAdvertisementSize less the link header. Requires: that many bytes at
// `at`.
void write_advertisement(std::byte* at, const Advertisement& what) {
  constexpr std::size_t kPayload = sizeof(NeighborMessage) + sizeof(LinkLayerOption);
  const Ipv6Header ip{.version_class_flow = Be32::from_host(0x60000000),
                      .payload_length = Be16::from_host(kPayload),
                      .next_header = static_cast<std::uint8_t>(Protocol::kIcmp6),
                      .hop_limit = kDiscoveryHopLimit,
                      .source = what.target.bytes,
                      .destination = what.destination.bytes};
  const NeighborMessage message{.type = kIcmp6NeighborAdvertisement,
                                .code = 0,
                                .checksum = {},
                                .flags = Be32::from_host(what.flags),
                                .target = what.target.bytes};
  std::byte* icmp = at + sizeof ip;
  store(at, ip);
  store(icmp, message);
  store(icmp + sizeof message, LinkLayerOption{.type = kOptionTargetLinkLayer, .mac = what.mac});
  const ChecksumSum sum = ChecksumSum({icmp, kPayload}) +
                          pseudo_header(what.target, what.destination, Protocol::kIcmp6, kPayload);
  store(icmp + offsetof(NeighborMessage, checksum), sum.checksum());
}

std::array<std::uint8_t, 4> v4_bytes(const Address& address) {
  return std::bit_cast<std::array<std::uint8_t, 4>>(address.v4_bits().wire());
}

Address v4_address(const std::array<std::uint8_t, 4>& wire) {
  return Address::v4(Be32::from_wire(std::bit_cast<std::uint32_t>(wire)));
}

}  // namespace

bool answer_echo(Frame& frame, const Burst& burst, Slot slot) {
  const auto link = reverse_link(load<EthernetHeader>(frame.data));
  if (!link || (is_contiguous(frame, burst, slot) && !icmp_verifies(frame, burst, slot))) {
    return false;
  }
  const bool v4 = burst.key[slot].protocol == Protocol::kIcmp;
  write_echo_type(frame, burst, slot, v4 ? kIcmpEchoReply : kIcmp6EchoReply);
  std::byte* ip = frame.data + burst.l3_offset[slot];
  v4 ? reverse_ipv4(ip) : reverse_ipv6(ip);
  store(frame.data, *link);
  return true;
}

Address arp_target(const ArpPacket& arp) { return v4_address(arp.target); }
Address arp_sender(const ArpPacket& arp) { return v4_address(arp.sender); }

bool answer_arp(Frame& frame, std::uint8_t l3_offset, MacAddress ours) {
  const auto request = read_arp(frame, l3_offset);
  if (!request || request->operation != kArpRequest || request->sender == request->target ||
      is_group(request->sender_mac)) {
    return false;
  }
  ArpPacket reply = *request;
  reply.operation = kArpReply;
  reply.sender_mac = ours;
  reply.sender = request->target;
  reply.target_mac = request->sender_mac;
  reply.target = request->sender;
  store(frame.data, request->sender_mac);
  store(frame.data + offsetof(EthernetHeader, source), ours);
  store(frame.data + l3_offset, reply);
  return true;
}

Address solicited_target(const Frame& frame, const Burst& burst, Slot slot) {
  return Address::v6(frame.data + burst.l4_offset[slot] + offsetof(NeighborMessage, target));
}

bool answer_neighbor_solicitation(Frame& frame, Burst& burst, Slot slot, MacAddress ours) {
  constexpr std::size_t kPacket = kAdvertisementSize - sizeof(EthernetHeader);
  const std::size_t size = burst.l3_offset[slot] + kPacket;
  if (frame.contiguous != frame.length || size > std::size_t{frame.contiguous} + frame.tailroom) {
    return false;
  }
  const auto request = read_solicitation(frame, burst, slot);
  auto link = load<EthernetHeader>(frame.data);
  if (!request || is_group(request->source_mac.value_or(link.source))) {
    return false;
  }
  const bool anonymous = request->source == Address{};
  link.destination = anonymous ? kAllNodesMac : request->source_mac.value_or(link.source);
  link.source = ours;
  store(frame.data, link);
  frame.end_at(static_cast<std::uint16_t>(size));
  burst.l3_length[slot] = kPacket;
  write_advertisement(frame.data + burst.l3_offset[slot],
                      {.target = request->target,
                       .destination = anonymous ? kAllNodes : request->source,
                       .flags = kAdvertisementOverride | (anonymous ? 0 : kAdvertisementSolicited),
                       .mac = ours});
  return true;
}

std::optional<LearnedNeighbor> learn_from_arp(const ArpPacket& arp) {
  const LearnedNeighbor learned{.address = arp_sender(arp), .mac = arp.sender_mac};
  if (arp.operation != kArpRequest || learned.address == Address::v4(Be32{}) ||
      is_group(learned.mac) || learned.mac == MacAddress{}) {
    return std::nullopt;
  }
  return learned;
}

std::optional<LearnedNeighbor> learn_from_solicitation(const Frame& frame,
                                                       const Burst& burst,
                                                       Slot slot) {
  const auto request = read_solicitation(frame, burst, slot);
  if (!request || !request->source_mac || is_group(*request->source_mac) ||
      *request->source_mac == MacAddress{}) {
    return std::nullopt;
  }
  return LearnedNeighbor{.address = request->source, .mac = *request->source_mac};
}

std::size_t build_gratuitous_arp(std::span<std::byte> frame, MacAddress mac, Address address) {
  if (frame.size() < kGratuitousArpSize) {
    return 0;
  }
  store(frame.data(),
        EthernetHeader{.destination = kBroadcastMac, .source = mac, .type = kEtherArp});
  store(frame.data() + sizeof(EthernetHeader),
        ArpPacket{.hardware = kArpEthernet,
                  .protocol = kEtherIpv4,
                  .hardware_length = sizeof(MacAddress),
                  .protocol_length = 4,
                  .operation = kArpRequest,
                  .sender_mac = mac,
                  .sender = v4_bytes(address),
                  .target_mac = {},
                  .target = v4_bytes(address)});
  return kGratuitousArpSize;
}

std::size_t build_unsolicited_advertisement(std::span<std::byte> frame,
                                            MacAddress mac,
                                            Address address) {
  if (frame.size() < kAdvertisementSize) {
    return 0;
  }
  store(frame.data(),
        EthernetHeader{.destination = kAllNodesMac, .source = mac, .type = kEtherIpv6});
  write_advertisement(
      frame.data() + sizeof(EthernetHeader),
      {.target = address, .destination = kAllNodes, .flags = kAdvertisementOverride, .mac = mac});
  return kAdvertisementSize;
}

}  // namespace holdfast::dataplane
