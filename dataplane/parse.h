// SPDX-License-Identifier: Apache-2.0
// Stage 2 of 7: parse. Runs on the workers, in replay, in tests and under the fuzzer.
//   reads: frame    writes: kind, fault, l3_offset, l3_length, l4_offset, quoted_l4_offset,
//                           tcp_flags, tags, key, piece, fragment, released
//   drops: kTruncated
//
// Parse never reads past frame.contiguous and gives no verdict but one: a frame too short for its
// Ethernet header, its VLAN tags or its IP addresses is dropped as truncated. Whatever else is
// wrong with an IP packet becomes kind = kFaulty and fault = the reason, with both addresses in the
// key, because the packet is dropped only if it is for a VIP or a pool address; else the kernel
// judges it. The Ethernet destination is not looked at. Up to two VLAN tags are read (vlan.h);
// whether they are the port's is for classify to say.
//
// The first fault in this order is the one recorded:
//    1. version                kBadVersion
//    2. IPv4 header length     kBadHeaderLength below 5; kTruncated past the end of the frame
//    3. total length           kBadLength below the header's; kTruncated beyond the frame. A longer
//                              frame is fine: Ethernet pads. IPv6 above 65535 in all: kBadLength
//    4. IPv4 header checksum   kBadChecksum
//    5. extension headers      IPv6: kExtensionChain for more than 4, for more than 256 bytes, for
//                              hop-by-hop options that are not first, for routing type 0 or
//                              segments left, and for headers beyond the contiguous bytes;
//                              kTruncated past the total length. Each header is judged before the
//                              next: their number, its first 8 bytes, what it is, the bytes so
//                              far, its end. The walk ends behind the header of a fragment; an
//                              atomic one (RFC 6946) counts as whole
//    6. source address         kMartian: 0/8, 127/8, 224/3, and 169.254/16 except for whole ICMP
//                              errors; ::1, ff00::/8, a v4-mapped source or destination; :: and
//                              fe80::/10 except for neighbour discovery
//    7. source = destination   kLand
//    8. TTL or hop limit 0     kTtlExpired
//    9. protocol               kUnknownProtocol; kFragment for a fragment of ICMP
//   10. upper header           kTruncated past the total length
//   11. TCP data offset        kBadHeaderLength below 5 or past the total length
//   12. TCP flags              kBadTcpFlags, see nonsense_flags()
//   13. UDP length             kBadLength below 8 or past the total length
//   14. ports                  kPortZero
//   15. ICMP                   kIcmpUnsupported: neither an echo request with code 0, nor
//                              neighbour discovery, nor one of the errors of icmp_error.h. Then,
//                              of an error:
//   16. ICMP checksum          kBadChecksum, where the message is contiguous
//   17. next-hop MTU           kIcmpImplausible: IPv4 below 552 but for 0, IPv6 below 1280
//   18. quoted IP header       kTruncated past the message, kExtensionChain beyond the contiguous
//                              bytes (so also for the rest); kIcmpImplausible for another version,
//                              or an IPv4 header length below 5
//   19. quoted addresses       kIcmpImplausible: the source is not where the error was sent to; a
//                              v4-mapped destination
//   20. quoted fragment        kFragment: any but the first. IPv6 walks extension headers here, as
//                              many and as long ones as in step 5, whatever they ask for
//   21. quoted protocol        kIcmpUnsupported: neither TCP nor UDP
//   22. quoted upper header    kTruncated: less than 8 bytes of it
//   23. quoted ports           kIcmpImplausible: port 0
//
// A fragment of TCP or UDP that is sound so far is kFragment, with its piece and extent. Then a
// fault is its datagram's, too, and again the first one counts, else kNoFault:
//    a. size                   kFragmentTiny: empty, or not the last and no multiple of 8 bytes
//    b. end                    kFragmentTooLong: beyond byte 65535 of the packet, IPv4 header or
//                              extension headers in front included
//    c. TCP at offset 8        kFragmentTiny (RFC 3128)
//    d. first fragment, IPv6   further extension headers as in 5, but kFragmentTiny past the end
//                              (RFC 7112); kFragment for another fragment header or for ICMPv6;
//                              kUnknownProtocol for others behind them
//    e. first fragment         kFragmentTiny for less than 8 bytes of UDP or the whole TCP header,
//                              else 10 to 14; UDP may be longer than the fragment
// A later fragment has no ports, and for IPv6 the protocol of the first header behind the fragment
// header. The note of a frame that was held makes it kTransport, with what the first fragment told,
// or kFaulty.
//
// Neighbour solicitations and advertisements are recognised right behind the fixed IPv6 header with
// hop limit 255 and code 0 (RFC 4861 §7.1); with other values they are kOther. TCP and UDP
// checksums are not verified: they are carried incrementally, so a wrong one stays wrong. For
// kTransport the whole TCP or UDP header is contiguous, but in later fragments, for kIcmpError all
// of the quoted one as far as its checksum; its key is the quoted one reversed, and tcp_flags are
// 0. After a fault, ports are 0 and l3_length, l4_offset and tcp_flags mean nothing.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/headers.h"

#include <cstdint>
#include <optional>

namespace holdfast::dataplane {

// Parses every live slot. Requires: for each, data points at `contiguous` bytes, and length is at
// least that. O(1) per frame.
void parse(Burst& burst);

// True for flag combinations that no TCP sends, whatever ECE, CWR and PSH say: SYN with FIN or RST,
// FIN without ACK (so also the "xmas" scan), and none of SYN, RST, ACK (so also the null scan).
constexpr bool nonsense_flags(std::uint8_t flags) {
  const bool syn = (flags & kTcpSyn) != 0;
  const bool fin = (flags & kTcpFin) != 0;
  const bool ack = (flags & kTcpAck) != 0;
  return (syn && (flags & (kTcpFin | kTcpRst)) != 0) || (fin && !ack) ||
         (flags & (kTcpSyn | kTcpRst | kTcpAck)) == 0;
}

// The ARP packet that begins at l3_offset, behind an Ethernet header and its tags; nullopt when
// there is none. Requires: l3_offset is at least an Ethernet header's size.
std::optional<ArpPacket> read_arp(const Frame& frame, std::uint8_t l3_offset);

}  // namespace holdfast::dataplane
