// SPDX-License-Identifier: Apache-2.0
// The inside of parse: one function per layer. Included by parse*.cc only. Each takes a slot whose
// lower layers are done, and returns false when it gave a verdict.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/frame.h"

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
