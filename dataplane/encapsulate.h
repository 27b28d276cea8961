// SPDX-License-Identifier: Apache-2.0
// The tunnel modes: a client's packet goes whole, byte for byte, behind outer headers that lead to
// the member. Part of stage 6 (rewrite.cc); pure.
//
//   ipip   IP in IP (RFC 2003, RFC 2473): any family in any family
//   gre    RFC 2784 without key, checksum or sequence
//   gue    UDP, then the packet itself (GUE variant 1, draft-ietf-intarea-gue), as Katran sends it;
//          with a hop list, which may be empty, a GUE header of variant 0 whose private data name
//          further members, as GitHub's glb-director sends it
//   vxlan  RFC 7348, with an inner Ethernet header
//
// Outer header, the same in all: TTL or hop limit 64; DSCP and ECN copied (RFC 6040, normal mode).
// Over IPv4 the inner packet's DF with its identification (RFC 2003 §3.1); an IPv6 packet is never
// fragmented on the way, so DF is set, as it is around a fragment: its identification is that of
// all fragments of its datagram, and would mix theirs (RFC 6864 §4.1). Over IPv6 the flow label
// carries the flow's hash (RFC 6438). The inner TTL stays: it counts where the packet is routed,
// and nobody routes it here.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <span>

namespace holdfast::dataplane {

// What the outer headers lead to. `hops` are for a list and IPv4 (GLB's form has no other).
struct TunnelEnd {
  const TunnelSpec& tunnel;
  Mode mode = Mode::kIpip;
  Address member;
  MacAddress inner_mac{};  // vxlan: of the member's inner interface
  std::span<const Address> hops;
};

// Bytes between the link header and the client's packet.
std::uint16_t tunnel_overhead(const TunnelEnd& end);

// Where the outer packet comes from: the configured address of the member's family, else one made
// from the client's address and port, so that the member's NIC spreads the load over its queues:
// 172.16.0.0/16 or 0100::/64 (RFC 6666), the construction of Katran.
Be32 tunnel_source4(const TunnelSpec& tunnel, const FlowKey& key);
Address tunnel_source6(const TunnelSpec& tunnel, const FlowKey& key);

// Puts the outer headers in front of the slot's packet, behind an Ethernet header of which only the
// type is written. An outer UDP checksum is derived from the inner one without reading the payload;
// a packet that came damaged leaves damaged. Where the inner checksum is absent, or tells of more
// than this packet (fragments) or of less (a UDP datagram that is shorter than its packet), the
// outer one is, over IPv4, absent too, and over IPv6 computed if the packet is contiguous, else
// absent (RFC 6935). False: there is no room before the packet, nothing is written. Requires:
// parse; what stands behind the IP packet is cut.
bool encapsulate(Burst& burst, Slot slot, const TunnelEnd& end);

}  // namespace holdfast::dataplane
