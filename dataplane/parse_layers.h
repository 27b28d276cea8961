// SPDX-License-Identifier: Apache-2.0
// The inside of parse: one function per layer. Included by parse*.cc only. Each takes a slot whose
// lower layers are done, and returns false when it gave a verdict.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/frame.h"
#include "dataplane/parse.h"

#include <cstdint>

namespace holdfast::dataplane::parsing {

// A part of a frame: offsets from Frame::data.
struct Extent {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  [[nodiscard]] std::uint32_t size() const { return end - begin; }
};

// Records a fault. Returns true: the slot stays live until classify.
inline bool fault(Burst& burst, Slot slot, Drop why) {
  burst.kind[slot] = Kind::kFaulty;
  burst.fault[slot] = why;
  return true;
}

// Field by field: a key put together elsewhere and copied would wait for its small stores to leave
// the store buffer, which cost half of parse.
inline void set_key(FlowKey& key,
                    const Address& source,
                    const Address& destination,
                    Protocol protocol) {
  key.source = source;
  key.destination = destination;
  key.source_port = Be16{};
  key.destination_port = Be16{};
  key.protocol = protocol;
}

// "This network", loopback, multicast, reserved and broadcast (RFC 6890).
inline bool is_martian(Be32 source) {
  const std::uint32_t network = source.to_host() >> 24;
  return network == 0 || network == 127 || network >= 224;
}

inline bool is_link_local(Be32 source) { return source.to_host() >> 16 == 0xa9fe; }

// nonsense_flags() as one bit per combination of the six classic flags: the judgement costs one
// shift.
constexpr std::uint64_t build_nonsense() {
  std::uint64_t bits = 0;
  for (unsigned flags = 0; flags < 64; ++flags) {
    bits |= std::uint64_t{nonsense_flags(static_cast<std::uint8_t>(flags))} << flags;
  }
  return bits;
}
inline bool is_nonsense(std::uint8_t flags) {
  constexpr std::uint64_t kNonsense = build_nonsense();
  return ((kNonsense >> (flags & 0x3f)) & 1) != 0;
}

// What a fragment says of itself. Requires of it: not an atomic one.
struct FragmentFields {
  std::uint32_t identification = 0;
  std::uint32_t offset = 0;    // in bytes
  std::uint32_t in_front = 0;  // bytes of the packet before the fragmentable part
  bool more = false;
};

// A fragment whose source and TTL hold (parse_fragment.cc). `payload` is its part of the datagram;
// `upper` begins with the upper header, if it is a first one. `fault`: found between the two.
// Requires: the key's addresses are set; its protocol is the upper one, but for later fragments of
// IPv6 the first behind the fragment header.
struct FragmentPart {
  FragmentFields fields;
  Extent payload;
  Extent upper;
  Drop fault = kNoFault;
};
bool parse_fragment(Burst& burst, Slot slot, const FragmentPart& part);

// Requires: l3_offset[slot] is set.
bool parse_ipv4(Burst& burst, Slot slot);
bool parse_ipv6(Burst& burst, Slot slot);

// TCP, UDP and ICMP. Requires: the key's addresses and protocol are set, ports are 0;
// packet.begin <= packet.end <= the frame's length; `packet` is the IP payload.
bool parse_upper(Burst& burst, Slot slot, Extent packet);

// An ICMP error: its checksum, its claims and the packet that it quotes (steps 16 to 23 of
// parse.h). Requires: as parse_upper(), with the ICMP header contiguous.
bool parse_error(Burst& burst, Slot slot, Extent message);

}  // namespace holdfast::dataplane::parsing
