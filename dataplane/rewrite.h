// SPDX-License-Identifier: Apache-2.0
// Stage 6 of 7: rewrite. Makes each packet what its next hop must see.
//   reads: frame, kind, key, hash, tcp_flags, piece, service, direction, member, record
//   writes: frame, l3_offset, l4_offset, quoted_l4_offset, l3_length, kForward, kReply (too big)
//   drops: kNoRoute, kNoNeighbor, kMtu, kTtlExpired (nat), kNoHeadroom (tunnels, VLAN tags)
// What stands behind the IP packet is cut, and never counts for the MTU. The frame's VLAN tags go;
// those of the port by which it leaves take their place (vlan.h). A packet that is longer than the
// way carries, outer headers included, is answered with that, or dropped (too_big.h); the way
// towards a member is as wide as the narrower of the port and the member's mtu. The MSS in a SYN is
// lowered where the service says so (mss.h). `dsr` else changes only the link header. `nat`
// replaces both addresses and both ports and decrements the TTL; checksums are updated by
// difference (RFC 1624), never recomputed, so a segment that came damaged leaves damaged. A first
// fragment's difference is that of the whole datagram; later ones have nothing of the upper layer
// to change. In an ICMP error it replaces what icmp_error.h says. The tunnel modes put outer
// headers in front of the packet, which stays as it is (encapsulate.h).
#pragma once

#include "dataplane/pipeline.h"

namespace holdfast::dataplane {

struct Notices;

void rewrite(Burst& burst, const Forwarding& forwarding, WorkerState& state, std::uint64_t now_ms);

// The way to a client: as the neighbourhood knows it, or as the client's own frames just told.
NextHop hop_to_client(const Address& client,
                      const Neighborhood& neighborhood,
                      const Notices& notices);

// TTL or hop limit of the slot's packet.
std::uint8_t ttl_of(const Burst& burst, Slot slot);

}  // namespace holdfast::dataplane
