// SPDX-License-Identifier: Apache-2.0
// Outer headers, built from the inside out: each step puts one header in front of what there is.
#include "tests/support/model/wrapping.h"

#include "tests/support/model/octets.h"
#include "tests/support/model/writing.h"

namespace holdfast::testing {
namespace {

using dataplane::Mode;

void append16(Bytes& bytes, std::size_t value) {
  bytes.push_back(static_cast<std::uint8_t>(value / 256 % 256));
  bytes.push_back(static_cast<std::uint8_t>(value % 256));
}
void append32(Bytes& bytes, std::uint32_t value) {
  append16(bytes, value / 65536);
  append16(bytes, value % 65536);
}
void append_address(Bytes& bytes, const Address& address) {
  bytes.insert(
      bytes.end(), address.bytes.begin() + (address.is_v4() ? 12 : 0), address.bytes.end());
}

std::size_t behind_ip(const TunnelTo& to) {
  switch (to.mode) {
    case Mode::kGre:
      return 4;
    case Mode::kGue:
      return 8 + (to.spec.hops == 0 ? 0 : 8 + 4 * to.hops.size());
    case Mode::kVxlan:
      return 8 + 8 + 14;
    default:
      return 0;
  }
}

std::uint16_t ether_type(bool v4) { return v4 ? 0x0800 : 0x86dd; }

// 172.16.0.0/16 or 100::/64, the rest from the client's last bytes and its port.
Address source_of(const Reading& reading, const TunnelTo& to) {
  const bool v4 = to.member.is_v4();
  const Address& fixed = v4 ? to.spec.source_v4 : to.spec.source_v6;
  if (fixed != Address{}) {
    return fixed;
  }
  const auto& client = reading.source.bytes;
  const auto high = static_cast<std::uint8_t>(reading.source_port / 256);
  const auto low = static_cast<std::uint8_t>(reading.source_port % 256);
  if (v4) {
    return testing::v4(172,
                       16,
                       static_cast<std::uint8_t>(client[14] ^ low),
                       static_cast<std::uint8_t>(client[15] ^ high));
  }
  Address source{};
  source.bytes[0] = 0x01;
  source.bytes[12] = static_cast<std::uint8_t>(client[12] ^ high);
  source.bytes[13] = static_cast<std::uint8_t>(client[13] ^ low);
  source.bytes[14] = client[14];
  source.bytes[15] = client[15];
  return source;
}

std::uint16_t udp_source_port(const Reading& reading, const TunnelTo& to) {
  if (to.mode == Mode::kVxlan) {
    return static_cast<std::uint16_t>(0xc000 | (to.hash >> 16 & 0xffff));
  }
  if (to.spec.hops != 0) {
    return static_cast<std::uint16_t>(0x8000 | (to.hash >> 16 & 0xffff));
  }
  const auto& client = reading.source.bytes;
  return static_cast<std::uint16_t>(reading.source_port ^ (client[12] * 256 + client[13]));
}

std::uint16_t udp_target_port(const TunnelTo& to) {
  if (to.spec.port != 0) {
    return to.spec.port;
  }
  if (to.mode == Mode::kVxlan) {
    return 4789;
  }
  return to.spec.hops == 0 ? 6080 : 19523;
}

// What the checksum of a packet covers besides the segment: nothing in ICMP of RFC 792.
Bytes pseudo_header_of(const Reading& reading, std::size_t segment) {
  if (reading.shape != Shape::kError) {
    return pseudo_header(reading.source, reading.destination, reading.protocol, segment);
  }
  return reading.v4 ? Bytes{} : pseudo_header(reading.sender, reading.destination, 58, segment);
}

// The packet's bytes as its checksums claim them to be: the segment of a TCP, UDP or ICMP checksum
// adds up to the complement of its pseudo header, whatever it holds.
Bytes as_claimed(const Bytes& packet, const Reading& reading) {
  const std::size_t header = reading.l4 - reading.l3;
  Bytes bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(header));
  const Bytes pseudo = pseudo_header_of(reading, reading.packet - header);
  append16(bytes, static_cast<std::uint16_t>(~ones_complement_sum(pseudo)));
  return bytes;
}

// Whether the packet has a checksum over its whole payload: a fragment's is that of more than this,
// and a UDP datagram may end before its packet does.
bool covers_all(const Bytes& packet, const Reading& reading) {
  if (reading.fragment) {
    return false;
  }
  const std::size_t upper = reading.l4 - reading.l3;
  return reading.shape == Shape::kError || reading.tcp() ||
         (number16(packet, upper + 6) != 0 &&
          upper + number16(packet, upper + 4) == reading.packet);
}

// The outer UDP checksum; 0 where there is none.
std::uint16_t udp_checksum(const Bytes& head,
                           const Arriving& inner,
                           const Reading& reading,
                           const TunnelTo& to) {
  const bool v4 = to.member.is_v4();
  const bool has_own = covers_all(inner.bytes, reading);
  if ((v4 && (to.mode == Mode::kVxlan || !has_own)) || (!has_own && inner.beyond != 0)) {
    return 0;
  }
  const std::size_t length = head.size() + reading.packet;
  Bytes all = pseudo_header(source_of(reading, to), to.member, 17, length);
  all = joined(std::move(all), head);
  all = joined(std::move(all), has_own ? as_claimed(inner.bytes, reading) : inner.bytes);
  const auto sum = static_cast<std::uint16_t>(~ones_complement_sum(all));
  return sum == 0 ? 0xffff : sum;
}

// GUE variant 0: version and control bit, words behind the first, what follows, no flags; then
// GLB's private data: its type 0, the place in the list, the length of the list, the list.
void append_hops(Bytes& head, const Reading& reading, const TunnelTo& to) {
  if (to.spec.hops == 0) {
    return;
  }
  append16(head, (1 + to.hops.size()) * 256 + (reading.v4 ? 4U : 41U));
  append16(head, 0);
  append16(head, 0);
  append16(head, to.hops.size());
  for (const Address& hop : to.hops) {
    append_address(head, hop);
  }
}

// What stands between the outer IP header and the packet.
Bytes middle(const Arriving& inner, const Reading& reading, const TunnelTo& to) {
  Bytes head;
  if (to.mode == Mode::kGre) {
    append32(head, ether_type(reading.v4));
  }
  if (to.mode != Mode::kGue && to.mode != Mode::kVxlan) {
    return head;
  }
  append16(head, udp_source_port(reading, to));
  append16(head, udp_target_port(to));
  append16(head, behind_ip(to) + reading.packet);
  append16(head, 0);
  append_hops(head, reading, to);
  if (to.mode == Mode::kVxlan) {
    append32(head, 0x08000000);
    append32(head, to.spec.vni * 256);
    head.insert(head.end(), to.inner_mac.begin(), to.inner_mac.end());
    head.insert(head.end(), to.spec.inner_source.begin(), to.spec.inner_source.end());
    append16(head, ether_type(reading.v4));
  }
  const std::uint16_t checksum = udp_checksum(head, inner, reading, to);
  head[6] = static_cast<std::uint8_t>(checksum / 256);
  head[7] = static_cast<std::uint8_t>(checksum % 256);
  return head;
}

std::uint8_t protocol_in_outer(const Reading& reading, Mode mode) {
  switch (mode) {
    case Mode::kGre:
      return 47;
    case Mode::kGue:
    case Mode::kVxlan:
      return 17;
    default:
      return reading.v4 ? 4 : 41;
  }
}

Bytes outer_ip(const Bytes& packet,
               const Reading& reading,
               const TunnelTo& to,
               std::size_t length) {
  const std::uint8_t protocol = protocol_in_outer(reading, to.mode);
  const std::size_t service =
      reading.v4 ? packet[1] : std::size_t{packet[0]} % 16 * 16 + packet[1] / 16U;
  Bytes head;
  if (to.member.is_v4()) {
    const bool may_fragment = reading.v4 && (packet[6] & 0x40) == 0 && !reading.fragment;
    append16(head, 0x4500 + service);
    append16(head, 20 + length);
    append16(head, may_fragment ? number16(packet, 4) : 0);
    append16(head, may_fragment ? 0 : 0x4000);
    append16(head, 64U * 256 + protocol);
    append16(head, 0);
    append_address(head, source_of(reading, to));
    append_address(head, to.member);
    const auto sum = static_cast<std::uint16_t>(~ones_complement_sum(head));
    head[10] = static_cast<std::uint8_t>(sum / 256);
    head[11] = static_cast<std::uint8_t>(sum % 256);
    return head;
  }
  const auto label = static_cast<std::uint32_t>(to.hash >> 16 & 0xfffff);
  append32(head, 0x60000000 + static_cast<std::uint32_t>(service << 20) + label);
  append16(head, length);
  append16(head, protocol * std::size_t{256} + 64);
  append_address(head, source_of(reading, to));
  append_address(head, to.member);
  return head;
}

}  // namespace

std::size_t outer_size(const TunnelTo& to) { return (to.member.is_v4() ? 20 : 40) + behind_ip(to); }

void wrap(Arriving& frame, const Reading& reading, const TunnelTo& to) {
  Arriving inner = frame;
  inner.bytes.erase(inner.bytes.begin(),
                    inner.bytes.begin() + static_cast<std::ptrdiff_t>(reading.l3));
  const Bytes between = middle(inner, reading, to);
  Bytes out(12);
  append16(out, ether_type(to.member.is_v4()));
  out = joined(std::move(out), outer_ip(inner.bytes, reading, to, between.size() + reading.packet));
  out = joined(std::move(out), between);
  frame.bytes = joined(std::move(out), inner.bytes);
}

}  // namespace holdfast::testing
