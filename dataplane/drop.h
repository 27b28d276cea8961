// SPDX-License-Identifier: Apache-2.0
// Why a frame was dropped. One enumerator, one counter, one name: metrics, `trace` and `replay` all
// print drop_name(). Pure, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace holdfast::dataplane {

enum class Drop : std::uint8_t {
  // receive; classify, of any frame
  kOwnEgress,     // the host's own outgoing frame, handed back by af_packet
  kNotOurMac,     // unicast to another station
  kDispatchFull,  // ring to the owner worker was full
  // parse, judged by classify: only where the packet is for a VIP or a pool address, else it is the
  // kernel's; but for frames that end before the IP header does, or come from a group's MAC address
  kTruncated,           // a header reaches past the end of the frame
  kBadVersion,          // IP version does not match the EtherType
  kBadHeaderLength,     // IHL < 5, TCP data offset < 5, either one past the packet
  kBadLength,           // IP or UDP length field contradicts the frame, UDP length < 8
  kBadChecksum,         // of the IPv4 header, of an echo request, of an ICMP error
  kVlanUnknown,         // for a VIP or a pool address, with other VLAN tags than its port has
  kFragment,            // fragment of ICMP or within a fragment; ICMP error about one without ports
  kFragmentTiny,        // first one without the whole upper header, empty, or cut within 8 bytes
  kFragmentTooLong,     // reaches beyond the 65535 bytes of a packet
  kFragmentOverlap,     // overlaps or contradicts another one of its datagram (fragments.h)
  kFragmentTooMany,     // more than a datagram may have (fragments.h)
  kFragmentBufferFull,  // came before the first one, and there is no room to wait (fragments.h)
  kFragmentTimeout,     // waited for the first one, which did not come (fragments.h)
  kExtensionChain,      // IPv6 extension headers: too many, too long, or not forwardable
  kMartian,             // source address that cannot be a sender's, of IP or of the link
  kLand,                // source equals destination
  kVipSource,           // source is a VIP or a pool address; of packets of a new flow: select
  kTtlExpired,          // TTL or hop limit 0; select, rewrite: 1 where it is decremented
  kBadTcpFlags,         // SYN+FIN, SYN+RST, FIN without ACK, none, all
  kPortZero,            // TCP or UDP port 0
  kUnknownProtocol,     // neither TCP, UDP nor ICMP
  kIcmpUnsupported,     // ICMP that is neither an echo request nor an error about TCP or UDP
  kIcmpImplausible,     // ICMP error that its flow cannot have caused: see icmp_error.h
  // classify
  kNoService,  // a VIP, but nothing listens on this protocol and port
  // track, select
  kNoNatFlow,  // to a pool address, but no flow translates there, or it answers another's SYN
  kNoFlow,     // select, `nat`: a TCP reset or a later fragment of a flow that nobody knows
  // ICMP errors (icmp_error.h)
  kToPeer,           // about a flow to a VIP that is not here: another node's
  kIcmpRateLimited,  // more of them than a worker forwards
  // select
  kNoBackend,         // no member takes new flows
  kNatPoolExhausted,  // none of the pool endpoints tried towards this member is free (nat_open.h)
  kNatTableFull,      // no free translation record
  kMemberReset,       // track, ICMP errors: a flow of a member that is being reset, or given up
  // rewrite
  kNoRoute,     // no route to the next hop
  kNoNeighbor,  // next hop's link-layer address unknown
  kMtu,         // longer than the egress port's MTU, outer headers included
  kNoHeadroom,  // no room before the packet for outer headers or VLAN tags
  kCount
};

inline constexpr std::size_t kDropCount = static_cast<std::size_t>(Drop::kCount);

inline constexpr std::array<std::string_view, kDropCount> kDropNames = {
    "own_egress",
    "not_our_mac",
    "dispatch_full",
    "truncated",
    "bad_version",
    "bad_header_length",
    "bad_length",
    "bad_checksum",
    "vlan_unknown",
    "fragment",
    "fragment_tiny",
    "fragment_too_long",
    "fragment_overlap",
    "fragment_too_many",
    "fragment_buffer_full",
    "fragment_timeout",
    "extension_chain",
    "martian",
    "land",
    "vip_source",
    "ttl_expired",
    "bad_tcp_flags",
    "port_zero",
    "unknown_protocol",
    "icmp_unsupported",
    "icmp_implausible",
    "no_service",
    "no_nat_flow",
    "no_flow",
    "to_peer",
    "icmp_rate_limited",
    "no_backend",
    "nat_pool_exhausted",
    "nat_table_full",
    "member_reset",
    "no_route",
    "no_neighbour",
    "mtu",
    "no_headroom",
};
static_assert(!kDropNames.back().empty(), "every drop reason has a name");

constexpr std::string_view drop_name(Drop reason) {
  return kDropNames[static_cast<std::size_t>(reason)];
}

}  // namespace holdfast::dataplane
