// SPDX-License-Identifier: Apache-2.0
// Frames over mbufs: how the stages' view of a packet (frame.h) and DPDK's come from each other.
// Runs on the workers; the mbuf belongs to whoever holds the frame.
#pragma once

#include "dataplane/frame.h"

#include <cstdint>

#include <rte_mbuf.h>

namespace holdfast::dataplane {

// So many bytes of headers are contiguous, where the frame has them (design.md §3).
inline constexpr std::uint16_t kContiguousHeaders = 256;

// The frame of a packet. VLAN tags that the driver took off stand in it again, so that it does not
// pass for an untagged one; as 802.1Q and, outside of that, 802.1ad, because the descriptor does
// not say. Where there is no room for them the frame has no contiguous bytes. A first segment that
// is too short for the headers is filled up from the next ones; where it has no room, the packet is
// copied, and `packet` becomes the copy. When the pool is empty the frame stays as it is: parse
// drops what it cannot read.
Frame to_frame(rte_mbuf*& packet, PortIndex port);

// Writes what the stages did to the frame (first byte, lengths) back to its packet, and returns it.
// What is no longer part of the frame is cut from its last segments; empty ones are freed.
rte_mbuf* to_packet(const Frame& frame);

// A frame's note on its way to another worker. It stands where receive left the RSS hash, which
// nobody reads behind the receive queue.
void set_note(rte_mbuf* packet, const FragmentNote& note);
FragmentNote note_of(const rte_mbuf* packet);

}  // namespace holdfast::dataplane
