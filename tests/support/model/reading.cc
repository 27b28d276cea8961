// SPDX-License-Identifier: Apache-2.0
// The decoder, layer by layer.
#include "tests/support/model/reading.h"

#include "tests/support/model/quoting.h"

#include <algorithm>
#include <array>

namespace holdfast::testing {
namespace {

// RFC 1071 over a range.
bool sums_to_nothing(const Bytes& bytes, std::size_t begin, std::size_t end) {
  return ones_complement_sum(Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                                   bytes.begin() + static_cast<std::ptrdiff_t>(end))) == 0xffff;
}

using Fault = std::optional<Drop>;

bool nonsense(std::uint8_t flags) {
  const bool fin = (flags & 0x01) != 0;
  const bool syn = (flags & 0x02) != 0;
  const bool rst = (flags & 0x04) != 0;
  const bool ack = (flags & 0x10) != 0;
  return (syn && fin) || (syn && rst) || (fin && !ack) || (!syn && !rst && !ack);
}

Fault read_ports(const Bytes& bytes, Reading& reading) {
  const std::uint16_t from = number16(bytes, reading.l4);
  const std::uint16_t to = number16(bytes, reading.l4 + 2);
  if (from == 0 || to == 0) {
    return Drop::kPortZero;
  }
  reading.shape = Shape::kTransport;
  reading.source_port = from;
  reading.destination_port = to;
  return {};
}

Fault read_tcp(const Bytes& bytes, Reading& reading) {
  const std::size_t header = std::size_t{bytes[reading.l4 + 12]} / 16 * 4;
  if (header < 20 || reading.l4 + header > reading.end()) {
    return Drop::kBadHeaderLength;
  }
  if (reading.l4 + header > bytes.size()) {
    return Drop::kExtensionChain;
  }
  reading.flags = bytes[reading.l4 + 13];
  return nonsense(reading.flags) ? Drop::kBadTcpFlags : read_ports(bytes, reading);
}

Fault read_udp(const Bytes& bytes, Reading& reading) {
  const std::size_t length = number16(bytes, reading.l4 + 4);
  const bool beyond = reading.l4 + length > reading.end();  // in other fragments, if it is one
  if (length < 8 || (beyond && !reading.fragment)) {
    return Drop::kBadLength;
  }
  return read_ports(bytes, reading);
}

// Steps 9 to 15 of parse.h.
Fault read_upper(const Bytes& bytes, Reading& reading) {
  const std::uint8_t icmp = reading.v4 ? 1 : 58;
  if (reading.protocol != 6 && reading.protocol != 17 && reading.protocol != icmp) {
    return Drop::kUnknownProtocol;
  }
  const std::size_t least = reading.tcp() ? 20 : 8;
  if (reading.l4 + least > reading.end()) {
    return Drop::kTruncated;
  }
  if (reading.l4 + least > bytes.size()) {
    return Drop::kExtensionChain;
  }
  if (reading.tcp()) {
    return read_tcp(bytes, reading);
  }
  if (reading.protocol == 17) {
    return read_udp(bytes, reading);
  }
  if (is_error_type(bytes[reading.l4], reading.v4)) {
    return read_error(bytes, reading);
  }
  const std::uint8_t request = reading.v4 ? 8 : 128;
  if (bytes[reading.l4] != request || bytes[reading.l4 + 1] != 0) {
    return Drop::kIcmpUnsupported;
  }
  reading.shape = Shape::kEcho;
  return {};
}

Fault read_ipv4_header(const Arriving& frame, Reading& reading) {
  const Bytes& bytes = frame.bytes;
  const std::size_t l3 = reading.l3;
  const std::size_t header = std::size_t{bytes[l3]} % 16 * 4;
  const std::size_t total = number16(bytes, l3 + 2);
  reading.l4 = l3 + header;
  reading.packet = total;
  if (bytes[l3] / 16 != 4) {
    return Drop::kBadVersion;
  }
  if (header < 20) {
    return Drop::kBadHeaderLength;
  }
  if (l3 + header > bytes.size()) {
    return Drop::kTruncated;
  }
  if (total < header) {
    return Drop::kBadLength;
  }
  if (l3 + total > frame.length()) {
    return Drop::kTruncated;
  }
  if (!sums_to_nothing(bytes, l3, l3 + header)) {
    return Drop::kBadChecksum;
  }
  return {};
}

// Too little of the upper header to judge the datagram by.
bool is_tiny(const Bytes& bytes, const Reading& reading) {
  const std::size_t size = reading.end() - reading.l4;
  if (!reading.tcp()) {
    return size < 8;
  }
  const bool readable = reading.l4 + 20 <= bytes.size();
  return size < 20 || (readable && std::size_t{bytes[reading.l4 + 12]} / 16 * 4 > size);
}

// Steps a to c of parse.h. `in_front` counts for the length of the packet.
Fault own_fault(const Reading& reading, std::size_t in_front) {
  const FragmentReading& fragment = *reading.fragment;
  const std::size_t size = fragment.end - fragment.begin;
  if (size == 0 || (!fragment.last && size % 8 != 0)) {
    return Drop::kFragmentTiny;
  }
  if (in_front + fragment.end > 65535) {
    return Drop::kFragmentTooLong;
  }
  if (fragment.begin == 8 && reading.tcp()) {
    return Drop::kFragmentTiny;
  }
  return {};
}

// Step e.
Fault first_fault(const Bytes& bytes, Reading& reading) {
  return is_tiny(bytes, reading) ? Fault(Drop::kFragmentTiny) : read_upper(bytes, reading);
}

Fault read_fragment4(const Bytes& bytes, Reading& reading) {
  if (reading.protocol == 1) {
    return Drop::kFragment;
  }
  if (reading.protocol != 6 && reading.protocol != 17) {
    return Drop::kUnknownProtocol;
  }
  const std::uint16_t field = number16(bytes, reading.l3 + 6);
  FragmentReading fragment{.identification = number16(bytes, reading.l3 + 4),
                           .id_at = reading.l3 + 4,
                           .begin = field % 0x2000U * 8U,
                           .last = (field & 0x2000) == 0};
  fragment.end = fragment.begin + reading.end() - reading.l4;
  reading.fragment = fragment;
  Fault fault = own_fault(reading, reading.l4 - reading.l3);
  if (!fault && fragment.first()) {
    fault = first_fault(bytes, reading);
  }
  reading.fragment->fault = fault;
  reading.shape = Shape::kFragment;
  return {};
}

Fault read_ipv4(const Arriving& frame, Reading& reading) {
  const Bytes& bytes = frame.bytes;
  reading.source = v4_at(bytes, reading.l3 + 12);
  reading.destination = v4_at(bytes, reading.l3 + 16);
  reading.protocol = bytes[reading.l3 + 9];
  reading.ttl = bytes[reading.l3 + 8];
  if (const Fault fault = read_ipv4_header(frame, reading)) {
    return fault;
  }
  const std::uint8_t network = bytes[reading.l3 + 12];
  const bool fragment = (number16(bytes, reading.l3 + 6) & 0x3fff) != 0;
  const bool link_local = network == 169 && bytes[reading.l3 + 13] == 254;
  const bool error = reading.protocol == 1 && !fragment && reading.l4 < reading.end() &&
                     reading.l4 < bytes.size() && is_error_type(bytes[reading.l4], true);
  if (network == 0 || network == 127 || network >= 224 || (link_local && !error)) {
    return Drop::kMartian;
  }
  if (reading.source == reading.destination) {
    return Drop::kLand;
  }
  if (reading.ttl == 0) {
    return Drop::kTtlExpired;
  }
  return fragment ? read_fragment4(bytes, reading) : read_upper(bytes, reading);
}

// What is wrong with one extension header by itself.
Fault extension_fault(const Bytes& bytes, std::size_t at, std::uint8_t kind, bool first) {
  if (kind == 0 && !first) {
    return Drop::kExtensionChain;
  }
  if (kind == 43 && (bytes[at + 2] == 0 || bytes[at + 3] != 0)) {
    return Drop::kExtensionChain;
  }
  return {};
}

// Step 5: moves l4 and protocol behind the chain, or behind the header of a fragment. The second
// walk of a fragment goes on from there.
Fault walk_chain(const Bytes& bytes, Reading& reading, int& count) {
  const std::size_t begin = reading.l3 + 40;
  const bool within = reading.fragment.has_value();
  for (; is_extension(reading.protocol); ++count) {
    if (within && reading.protocol == 44) {
      return Drop::kFragment;
    }
    if (!within && reading.fragment) {
      return {};
    }
    if (count == 4) {
      return Drop::kExtensionChain;
    }
    if (reading.l4 + 8 > reading.end()) {
      return Drop::kTruncated;
    }
    if (reading.l4 + 8 > bytes.size()) {
      return Drop::kExtensionChain;
    }
    const Fault fault = extension_fault(bytes, reading.l4, reading.protocol, count == 0);
    if (fault) {
      return fault;
    }
    const std::size_t size = extension_size(reading.protocol, bytes[reading.l4 + 1]);
    const std::uint16_t field = number16(bytes, reading.l4 + 2);
    if (reading.protocol == 44 && (field & 0xfff9) != 0) {
      reading.fragment = FragmentReading{.identification = number32(bytes, reading.l4 + 4),
                                         .id_at = reading.l4 + 4,
                                         .begin = field / 8U * 8U,
                                         .last = field % 2 == 0};
    }
    reading.protocol = bytes[reading.l4];
    reading.l4 += size;
    if (reading.l4 - begin > 256) {
      return Drop::kExtensionChain;
    }
    if (reading.l4 > reading.end()) {
      return Drop::kTruncated;
    }
  }
  return {};
}

bool is_martian6(const Reading& reading, bool discovery) {
  const auto& source = reading.source.bytes;
  const bool unspecified = reading.source == Address{};
  const bool loopback =
      source[15] == 1 &&
      std::all_of(source.begin(), source.begin() + 15, [](auto b) { return b == 0; });
  const bool link_local = source[0] == 0xfe && source[1] >= 0x80 && source[1] <= 0xbf;
  return source[0] == 0xff || loopback || reading.source.is_v4() || reading.destination.is_v4() ||
         (!discovery && (unspecified || link_local));
}

// A solicitation or an advertisement right behind the fixed header, long enough to be one.
bool is_discovery(const Bytes& bytes, const Reading& reading) {
  return reading.protocol == 58 && reading.l4 == reading.l3 + 40 &&
         reading.l4 + 24 <= reading.end() && reading.l4 + 24 <= bytes.size() &&
         (bytes[reading.l4] == 135 || bytes[reading.l4] == 136);
}

Fault read_ipv6_header(const Arriving& frame, Reading& reading) {
  const Bytes& bytes = frame.bytes;
  const std::size_t l3 = reading.l3;
  reading.source = v6_at(bytes, l3 + 8);
  reading.destination = v6_at(bytes, l3 + 24);
  reading.protocol = bytes[l3 + 6];
  reading.ttl = bytes[l3 + 7];
  reading.packet = std::size_t{40} + number16(bytes, l3 + 4);
  reading.l4 = l3 + 40;
  if (bytes[l3] / 16 != 6) {
    return Drop::kBadVersion;
  }
  if (reading.packet > 65535) {
    return Drop::kBadLength;
  }
  if (reading.end() > frame.length()) {
    return Drop::kTruncated;
  }
  return {};
}

// Step d: the rest of the headers, which a first fragment must hold all.
Fault headers_within(const Bytes& bytes, Reading& reading, int& count) {
  if (!is_extension(reading.protocol)) {
    return {};
  }
  if (const Fault fault = walk_chain(bytes, reading, count)) {
    return fault == Drop::kTruncated ? Drop::kFragmentTiny : *fault;
  }
  if (reading.protocol == 58) {
    return Drop::kFragment;
  }
  return reading.protocol == 6 || reading.protocol == 17 ? Fault{} : Drop::kUnknownProtocol;
}

Fault read_fragment6(const Bytes& bytes, Reading& reading, int count) {
  FragmentReading& fragment = *reading.fragment;
  fragment.end = fragment.begin + reading.end() - reading.l4;
  if (reading.protocol == 58) {
    return Drop::kFragment;
  }
  if (reading.protocol != 6 && reading.protocol != 17 && !is_extension(reading.protocol)) {
    return Drop::kUnknownProtocol;
  }
  Fault fault = own_fault(reading, reading.l4 - 8 - (reading.l3 + 40));
  if (fragment.first()) {
    const Fault within = headers_within(bytes, reading, count);
    fault = fault ? fault : within;
    fault = fault ? fault : first_fault(bytes, reading);
  }
  reading.fragment->fault = fault;
  reading.shape = Shape::kFragment;
  return {};
}

Fault read_ipv6(const Arriving& frame, Reading& reading) {
  if (const Fault fault = read_ipv6_header(frame, reading)) {
    return fault;
  }
  int headers = 0;
  if (const Fault fault = walk_chain(frame.bytes, reading, headers)) {
    return fault;
  }
  const bool discovery = !reading.fragment && is_discovery(frame.bytes, reading);
  if (is_martian6(reading, discovery)) {
    return Drop::kMartian;
  }
  if (reading.source == reading.destination) {
    return Drop::kLand;
  }
  if (reading.fragment) {
    return reading.ttl == 0 ? Drop::kTtlExpired : read_fragment6(frame.bytes, reading, headers);
  }
  if (!discovery) {
    return reading.ttl == 0 ? Drop::kTtlExpired : read_upper(frame.bytes, reading);
  }
  if (reading.ttl == 255 && frame.bytes[reading.l4 + 1] == 0 && frame.bytes[reading.l4] == 135) {
    reading.shape = Shape::kSolicitation;
  }
  return {};
}

// True for the only kind that RFC 826 has here: IPv4 over Ethernet.
bool is_arp(const Bytes& bytes, std::size_t at) {
  return at + 28 <= bytes.size() && number16(bytes, at) == 1 && number16(bytes, at + 2) == 0x0800 &&
         bytes[at + 4] == 6 && bytes[at + 5] == 4;
}

void read_network(const Arriving& frame, std::uint16_t type, Reading& reading) {
  const bool v4 = type == 0x0800;
  if (!v4 && type != 0x86dd) {
    reading.shape = type == 0x0806 && is_arp(frame.bytes, reading.l3) ? Shape::kArp : Shape::kOther;
    return;
  }
  reading.v4 = v4;
  if (reading.l3 + (v4 ? 20 : 40) > frame.bytes.size()) {
    reading.shape = Shape::kCut;
    return;
  }
  if (const Fault fault = v4 ? read_ipv4(frame, reading) : read_ipv6(frame, reading)) {
    reading.shape = Shape::kFaulty;
    reading.fault = *fault;
  }
}

}  // namespace

bool is_extension(std::uint8_t kind) {
  static constexpr std::array<std::uint8_t, 5> kKinds = {0, 43, 44, 51, 60};
  return std::ranges::find(kKinds, kind) != kKinds.end();
}

std::size_t extension_size(std::uint8_t kind, std::uint8_t length) {
  if (kind == 44) {
    return 8;
  }
  return kind == 51 ? (std::size_t{length} + 2) * 4 : (std::size_t{length} + 1) * 8;
}

std::uint16_t number16(const Bytes& bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes.at(at) * 256 + bytes.at(at + 1));
}
std::uint32_t number32(const Bytes& bytes, std::size_t at) {
  return std::uint32_t{number16(bytes, at)} * 65536 + number16(bytes, at + 2);
}
Address v4_at(const Bytes& bytes, std::size_t at) {
  return v4(bytes.at(at), bytes.at(at + 1), bytes.at(at + 2), bytes.at(at + 3));
}
Address v6_at(const Bytes& bytes, std::size_t at) {
  Address address;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 16, address.bytes.begin());
  return address;
}
MacAddress mac_at(const Bytes& bytes, std::size_t at) {
  MacAddress mac{};
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 6, mac.begin());
  return mac;
}
bool is_group_mac(const MacAddress& mac) { return mac[0] % 2 == 1; }

Reading read_frame(const Arriving& frame) {
  const Bytes& bytes = frame.bytes;
  Reading reading;
  if (bytes.size() < 14) {
    reading.shape = Shape::kCut;
    return reading;
  }
  std::uint16_t type = number16(bytes, 12);
  reading.l3 = 14;
  for (int tags = 0; tags < 2 && (type == 0x8100 || type == 0x88a8); ++tags) {
    if (bytes.size() < reading.l3 + 4) {
      reading.shape = Shape::kCut;
      return reading;
    }
    if (const auto vlan = static_cast<std::uint16_t>(number16(bytes, reading.l3) % 4096)) {
      reading.tags.push_back({.type = type, .vlan = vlan});
    }
    type = number16(bytes, reading.l3 + 2);
    reading.l3 += 4;
  }
  read_network(frame, type, reading);
  return reading;
}

}  // namespace holdfast::testing
