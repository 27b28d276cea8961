// SPDX-License-Identifier: Apache-2.0
// The numbers of a TCP segment, read from its frame when they are asked for: the packet path judges
// most segments by their flags alone. For track and resets, on the workers. Pure.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/headers.h"

#include <cstdint>

namespace holdfast::dataplane {

struct Segment {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
  std::uint32_t length = 0;  // in sequence space: payload, SYN and FIN
  std::uint8_t flags = 0;
  bool first_fragment = false;  // then `length` is not that of the whole segment
};

// Requires: the slot is of TCP, parsed, and no later fragment. Of a first fragment the payload that
// stands in it counts. Source: RFC 9293 §3.1, §3.3.1.
inline Segment segment_of(const Burst& b, Slot i) {
  const TcpHeader tcp = load<TcpHeader>(b.frame[i].data + b.l4_offset[i]);
  const std::uint32_t upper = std::uint32_t{b.l4_offset[i]} - b.l3_offset[i];
  return {.sequence = tcp.sequence.to_host(),
          .acknowledgment = tcp.acknowledgment.to_host(),
          .length = b.l3_length[i] - upper - tcp.header_length() +
                    ((tcp.flags & kTcpSyn) != 0 ? 1U : 0U) + ((tcp.flags & kTcpFin) != 0 ? 1U : 0U),
          .flags = tcp.flags,
          .first_fragment = b.piece[i] == Piece::kFirst};
}

}  // namespace holdfast::dataplane
