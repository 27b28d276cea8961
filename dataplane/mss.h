// SPDX-License-Identifier: Apache-2.0
// MSS clamping (RFC 9293 §3.7.1): a SYN tells how long the segments may be that its sender takes,
// knowing its own link only; here it is made to tell what the way to it carries as well. Part of
// stage 6 (rewrite.cc), for whole segments with SYN, which are rare. Pure; on the worker.
//
// The MSS only ever falls. Every MSS option of the header is lowered that is too high; the TCP
// checksum is updated by difference, so a segment that came damaged leaves damaged. A header
// without the option means 536 over IPv4 and 1220 over IPv6 (RFC 9293 §3.7.1, RFC 8200 §8.3): where
// that is too much, an option is put in front of the others, and all headers move four bytes down
// into the headroom; the payload stays where it is. That is left undone (mss_no_room) when the TCP
// header is at its 60 bytes, the packet would become too long for the way, or there is no headroom.
//
// Options are read within the header and no further. A malformed one (no length, or one that
// reaches past the header) ends the reading, and an MSS option of another length than 4 is passed
// over, as receivers do; a header with either gets no option.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/stats.h"

#include <cstdint>

namespace holdfast::dataplane {

struct MssLimit {
  std::uint16_t most = 0;  // as MemberForward::most_mss; 0: the MSS stays
  std::uint32_t mtu = 0;   // longest packet between the segment's sender and its receiver
};

// The MSS for packets of that length: less 40 bytes of headers, or 60 of IPv6, but at least 1.
std::uint16_t mss_for(std::uint32_t mtu, bool v4);

// Requires: the slot was parsed as TCP, and what stands behind the IP packet is cut. Writes the
// frame's bytes, length, room and l3_length; counts mss_clamped, mss_no_room.
void clamp_mss(Burst& burst, Slot slot, const MssLimit& limit, WorkerStats& stats);

}  // namespace holdfast::dataplane
