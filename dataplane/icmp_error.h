// SPDX-License-Identifier: Apache-2.0
// ICMP errors about flows: what a router or an end says of a packet that it could not deliver, on
// the way to whom sent that packet. Called by the stages on the worker that owns the flow; pure.
//
//   IPv4   destination unreachable (3), time exceeded (11), parameter problem (12); RFC 792
//   IPv6   destination unreachable (1), packet too big (2), time exceeded (3), parameter problem
//          (4); RFC 4443 §3
//
// with any code, quoting a TCP or UDP packet that came from the address which the error is for: a
// VIP, or a pool address of `nat`. Source quench (RFC 6633) and redirects are not forwarded.
//
// Parse puts the quoted 5-tuple, reversed, into the key: what the flow's packets bear that come
// from where the error came from. So an error finds service, owner worker and flow as they do, and
// a tunnel carries it behind the same outer addresses and ports. Classify puts errors aside, and
// they come back behind select, when the burst's own packets have begun and ended what they begin
// and end. An error proves nothing (anybody can send one: RFC 5927), so it changes no flow: no
// state, no stamp, no count of flows, no place in a table.
//
//   dsr, tunnels   the packet goes whole to the flow's member, as any of the flow
//   nat            outer and quoted addresses, ports and checksums become what the receiver knows,
//                  updated by difference (RFC 5508 §4.2): the quote is what the receiver sent, as
//                  is the id where it is a fragment. Towards a member the outer source stays the
//                  router's; towards a client it is the VIP, because the LAN is hidden: nothing
//                  shows there of members, their routers and the pool. TTL decremented
//
// A quoted TCP header without its checksum (8 bytes suffice: RFC 792) has none to update. What
// stands behind the quote (RFC 4884 extensions) is carried as it is.
//
// Implausible (RFC 5927 §4, RFC 8201 §4) is an error that quotes what its receiver never sent, or a
// next-hop MTU that no path has: below 1280 in IPv6; in IPv4 below 552, where Linux stops too, but
// for 0, which is an old router's (RFC 1191 §5).
//
// A flow to a VIP without entry or record may be a peer's of the fleet that announces the VIP:
// kToPeer. There are no peers yet. But where the flow table has no place for the flow it may be one
// that goes by the hash: the error goes where a packet of it goes (P9).
#pragma once

#include "dataplane/address.h"
#include "dataplane/burst.h"
#include "dataplane/headers.h"

#include <cstdint>

namespace holdfast::dataplane {

class FlowHasher;
class Generation;
class WorkerState;

// Whether errors of this type are forwarded. `protocol` tells ICMP from ICMPv6.
constexpr bool is_icmp_error(std::uint8_t type, Protocol protocol) {
  if (protocol == Protocol::kIcmp6) {
    return type >= kIcmp6Unreachable && type <= kIcmp6ParameterProblem;
  }
  return type == kIcmpUnreachable || type == kIcmpTimeExceeded || type == kIcmpParameterProblem;
}

// Who sent it, by its own header; the destination is the key's. Requires: kind is kIcmpError, not
// translated yet.
Address error_source(const Burst& burst, Slot slot);

// Gives the errors that classify put aside a member and makes them live again.
//   reads: key, hash, service, binding, prefixed, direction
//   writes: known, member, record, binding (towards a client), chosen_slot, live
//   drops: kNoNatFlow, kToPeer, kNoBackend, kMemberReset, kIcmpRateLimited, in this order
void find_error_flows(Burst& burst,
                      const Generation& generation,
                      WorkerState& state,
                      std::uint64_t now_ms);

// The addresses of the error's own header.
struct ErrorEnds {
  FlowKey before;
  FlowKey after;
};

// Translates the ICMP message. `to` is what the flow's packets become that go where the error goes.
// Requires: record[slot] is a record.
void translate_quote(
    Burst& burst, Slot slot, const FlowKey& to, const ErrorEnds& ends, const FlowHasher& hasher);

}  // namespace holdfast::dataplane
