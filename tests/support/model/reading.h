// SPDX-License-Identifier: Apache-2.0
// The model's reading of a frame: a decoder of its own, from IEEE 802.1Q, RFC 826, 791, 8200, 9293,
// 768, 792, 4443 and 4861, and the order of faults that dataplane/parse.h promises. It takes bytes
// one at a time and shares nothing with the product but the vocabulary (Address, Drop). Tests only.
#pragma once

#include "dataplane/drop.h"
#include "tests/support/packet.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace holdfast::testing {

using dataplane::Drop;

// A frame as it comes in: the bytes that can be read, how many more there are, and where from.
struct Arriving {
  Bytes bytes;
  std::uint32_t beyond = 0;
  std::uint8_t port = 0;

  [[nodiscard]] std::size_t length() const { return bytes.size() + beyond; }
};

enum class Shape : std::uint8_t {
  kCut,  // too short to say whom it is for
  kOther,
  kArp,
  kTransport,
  kEcho,
  kError,  // ICMP about a flow
  kSolicitation,
  kFragment,  // of TCP or UDP
  kFaulty,
};

// What a fragment says of itself; `begin` and `end` count the bytes of the fragmentable part.
struct FragmentReading {
  std::uint32_t identification = 0;
  std::size_t id_at = 0;  // where that stands
  std::size_t begin = 0;
  std::size_t end = 0;
  bool last = false;
  std::optional<Drop> fault;  // of the whole datagram

  [[nodiscard]] bool first() const { return begin == 0; }
};

// A VLAN tag: its EtherType, and the VLAN.
struct Tag {
  std::uint16_t type = 0;
  std::uint16_t vlan = 0;
  bool operator==(const Tag&) const = default;
};

// What a frame says. Members after `shape` are set as far as the shape has them. Of an error, the
// addresses, the protocol and the ports are those of a packet of the flow that goes the same way.
struct Reading {
  Shape shape = Shape::kOther;
  Drop fault = Drop::kTruncated;
  bool v4 = true;
  std::vector<Tag> tags;   // those for a VLAN: a priority tag does not count
  std::size_t l3 = 0;      // where the IP header begins
  std::size_t l4 = 0;      // where the upper header begins
  std::size_t packet = 0;  // bytes of the IP packet
  Address source;
  Address destination;
  std::uint8_t protocol = 0;
  std::uint8_t ttl = 0;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint8_t flags = 0;
  std::size_t quoted_l4 = 0;             // of an error: where the quoted upper header begins
  std::optional<std::size_t> quoted_id;  // where the id of a quoted fragment stands
  Address sender;                        // of an error: its own source
  std::optional<FragmentReading> fragment;

  // Where the IP packet ends.
  [[nodiscard]] std::size_t end() const { return l3 + packet; }
  [[nodiscard]] bool tcp() const { return protocol == 6; }
  [[nodiscard]] bool later() const { return fragment && !fragment->first(); }
  // A SYN that begins a connection.
  [[nodiscard]] bool begins() const { return syn() && !later(); }
  [[nodiscard]] bool syn() const { return tcp() && (flags & 0x12) == 0x02; }
  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};

Reading read_frame(const Arriving& frame);

// IPv6 extension headers, RFC 8200 §4 and RFC 4302 §2.2.
bool is_extension(std::uint8_t kind);
std::size_t extension_size(std::uint8_t kind, std::uint8_t length);

// Numbers in network order. Requires: they lie within `bytes`.
std::uint16_t number16(const Bytes& bytes, std::size_t at);
std::uint32_t number32(const Bytes& bytes, std::size_t at);
Address v4_at(const Bytes& bytes, std::size_t at);
Address v6_at(const Bytes& bytes, std::size_t at);
MacAddress mac_at(const Bytes& bytes, std::size_t at);
bool is_group_mac(const MacAddress& mac);

}  // namespace holdfast::testing
