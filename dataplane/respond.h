// SPDX-License-Identifier: Apache-2.0
// Answers that the dataplane gives itself: pings of a VIP, ARP and neighbour discovery for VIPs and
// pool addresses, and announcements of them. Called by classify (answers, in place on the request's
// frame) and by the worker at start, addition and link-up (announcements). Reads and writes the
// frame only; the caller decides whether an address is ours and gives the verdict. Pure.
#pragma once

#include "dataplane/address.h"
#include "dataplane/burst.h"
#include "dataplane/frame.h"
#include "dataplane/headers.h"
#include "dataplane/parse.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace holdfast::dataplane {

// Turns an echo request into its reply (RFC 792; RFC 4443 §4.2): MAC and IP addresses swapped,
// TTL 64, checksum updated. IPv4 options are overwritten with no-operations, because what they
// asked for (routes, timestamps) is not done here; IPv6 extension headers go back as they came.
// Returns false and leaves the frame as it is when the request's own checksum is wrong, or one of
// its MAC addresses is a group's. A checksum over bytes that are not contiguous is not verified;
// being updated, a wrong one stays wrong for the receiver. Requires: kind[slot] is kEchoRequest,
// `frame` is the slot's.
bool answer_echo(Frame& frame, const Burst& burst, Slot slot);

// The address that an ARP packet asks for, and whose it says to come from.
Address arp_target(const ArpPacket& arp);
Address arp_sender(const ArpPacket& arp);

// Turns an ARP request into the reply that `ours` has the target address (RFC 826). Probes with an
// empty sender (RFC 5227 §2.1.1) are answered like others; tags stay. Returns false, frame
// untouched, when it is no request, announces its own address, or names a group's MAC as sender.
bool answer_arp(Frame& frame, std::uint8_t l3_offset, MacAddress ours);

// The address a neighbour solicitation asks for. Requires: kind[slot] is kNeighborSolicitation.
Address solicited_target(const Frame& frame, const Burst& burst, Slot slot);

// Turns a neighbour solicitation into the advertisement that `ours` has the target address
// (RFC 4861 §7.2.4): override flag and target link-layer option; solicited flag and the sender as
// receiver, or all nodes without the flag when the sender is unspecified (duplicate detection).
// The answer has 72 bytes behind the link header, so length, contiguous and tailroom change, and
// l3_length with them. Returns false, nothing touched, when the solicitation is not valid by
// RFC 4861 §7.1.1, is not contiguous, or leaves no room for the answer.
// Requires: kind[slot] is kNeighborSolicitation, `frame` is the slot's.
bool answer_neighbor_solicitation(Frame& frame, Burst& burst, Slot slot, MacAddress ours);

// A neighbour that told its own MAC address.
struct LearnedNeighbor {
  Address address;
  MacAddress mac{};
  constexpr bool operator==(const LearnedNeighbor&) const = default;
};

// The sender of an ARP request, or of a valid solicitation with a source link-layer option; nullopt
// when it says nothing useful (unspecified sender, group MAC). Whether the address is on-link, and
// whether learning is bounded, is the caller's to judge.
std::optional<LearnedNeighbor> learn_from_arp(const ArpPacket& arp);
std::optional<LearnedNeighbor> learn_from_solicitation(const Frame& frame,
                                                       const Burst& burst,
                                                       Slot slot);

// Announcements, written into `frame` from its first byte. Each returns the frame's length, or 0
// when `frame` is too short. Ethernet pads what is below 60 bytes on the way out.
inline constexpr std::size_t kGratuitousArpSize = sizeof(EthernetHeader) + sizeof(ArpPacket);
inline constexpr std::size_t kAdvertisementSize =
    sizeof(EthernetHeader) + sizeof(Ipv6Header) + sizeof(NeighborMessage) + sizeof(LinkLayerOption);

// A gratuitous ARP request (RFC 5227 §3, RFC 5944 §4.6). Requires: address.is_v4().
std::size_t build_gratuitous_arp(std::span<std::byte> frame, MacAddress mac, Address address);

// An unsolicited neighbour advertisement to all nodes, override flag set (RFC 4861 §7.2.6).
// Requires: !address.is_v4().
std::size_t build_unsolicited_advertisement(std::span<std::byte> frame,
                                            MacAddress mac,
                                            Address address);

}  // namespace holdfast::dataplane
