// SPDX-License-Identifier: Apache-2.0
// Every reason to drop in words: what it means, which `trace` prints, and what an operator can do.
// docs/drops.md holds the same; a test compares them. Pure, any thread.
#pragma once

#include "dataplane/drop.h"

#include <array>
#include <cstddef>
#include <string_view>

namespace holdfast::control {

struct DropText {
  dataplane::Drop reason;
  std::string_view meaning;
  std::string_view remedy;
};

inline constexpr std::array kDropTexts = {
    DropText{dataplane::Drop::kOwnEgress,
             "the host's own outgoing frame, which a packet socket sees too",
             "nothing: expected on ports that are shared with the kernel"},
    DropText{
        dataplane::Drop::kNotOurMac,
        "for another station, or a unicast packet in a frame to a group",
        "a few are a switch that floods; many: see whose MAC address the router has for the VIP"},
    DropText{dataplane::Drop::kDispatchFull,
             "the worker that owns the flow has no room for more frames",
             "more workers, or fewer packets: one flow alone cannot be spread"},
    DropText{dataplane::Drop::kTruncated,
             "a header or the packet reaches past the end of the frame",
             "capture with tcpdump: a sender or a link damages frames"},
    DropText{dataplane::Drop::kBadVersion,
             "the IP version is not that of the EtherType",
             "a broken or hostile sender: find it by its source MAC address"},
    DropText{
        dataplane::Drop::kBadHeaderLength,
        "an IPv4 or TCP header says that it is shorter than possible, or longer than the packet",
        "a broken or hostile sender"},
    DropText{dataplane::Drop::kBadLength,
             "a length field of IP or UDP contradicts the frame",
             "a broken or hostile sender"},
    DropText{
        dataplane::Drop::kBadChecksum,
        "the checksum of the IPv4 header, of a ping or of an ICMP error is wrong",
        "damage on the way; on a veth: checksum offloading is still on (ethtool -K DEV tx off)"},
    DropText{dataplane::Drop::kVlanUnknown,
             "for an address of ours, with other VLAN tags than its port has",
             "have the switch deliver the VIP's network as the port expects it"},
    DropText{dataplane::Drop::kFragment,
             "a fragment of a ping or within another fragment, or an ICMP error about a fragment "
             "without ports",
             "nothing: pings larger than the path are not answered"},
    DropText{dataplane::Drop::kFragmentTiny,
             "a first fragment without the whole TCP or UDP header, an empty one, or one cut "
             "within 8 bytes",
             "nothing: no sender makes them, they hide from filters"},
    DropText{dataplane::Drop::kFragmentTooLong,
             "a fragment that reaches beyond the longest packet",
             "nothing: an attack on whoever reassembles"},
    DropText{dataplane::Drop::kFragmentOverlap,
             "a fragment that overlaps or contradicts another one of its datagram, or one of such "
             "a datagram",
             "a few are duplicates; many: an attack on whoever reassembles"},
    DropText{dataplane::Drop::kFragmentTooMany,
             "a datagram in more than 64 fragments, or one of such a datagram",
             "nothing: no path needs them so small"},
    DropText{dataplane::Drop::kFragmentBufferFull,
             "a fragment that came before the first one of its datagram, with no room to wait",
             "a flood, or a path that reorders a lot: see where they come from"},
    DropText{dataplane::Drop::kFragmentTimeout,
             "a fragment that waited a second for the first one of its datagram",
             "a path that loses or filters first fragments"},
    DropText{dataplane::Drop::kExtensionChain,
             "IPv6 extension headers that are too many, too long or not to be forwarded",
             "nothing: no ordinary client sends them"},
    DropText{dataplane::Drop::kMartian,
             "the source is no address that may send, or a link-local one (169.254.0.0/16, "
             "fe80::/10), which no router passes on",
             "forged: filter it at the edge (RFC 2827)"},
    DropText{dataplane::Drop::kLand,
             "source and destination are the same",
             "forged: filter it at the edge"},
    DropText{dataplane::Drop::kVipSource,
             "the source is an address of ours",
             "forged, or a backend that is a client of its own service: reach that directly"},
    DropText{dataplane::Drop::kTtlExpired,
             "the TTL or hop limit has run out",
             "a routing loop, or traceroute"},
    DropText{
        dataplane::Drop::kBadTcpFlags, "TCP flags that no TCP sends together", "nothing: a scan"},
    DropText{dataplane::Drop::kPortZero, "port 0, from or to", "nothing: a scan"},
    DropText{dataplane::Drop::kUnknownProtocol,
             "neither TCP, UDP nor ICMP",
             "nothing, unless a service should have had it: others are not balanced"},
    DropText{dataplane::Drop::kIcmpUnsupported,
             "ICMP that is neither an echo request nor an error about TCP or UDP",
             "nothing: redirects and the like are for routers"},
    DropText{dataplane::Drop::kIcmpImplausible,
             "an ICMP error about what was never sent, or with a next-hop MTU that no path has",
             "forged, or a path below 552 bytes (IPv4; IPv6 1280): lower `mss` or `mtu` by hand"},
    DropText{dataplane::Drop::kNoService,
             "a VIP, but no service has this protocol and port",
             "a scan, or `ports` of the service lacks one"},
    DropText{dataplane::Drop::kNoNatFlow,
             "an address of the NAT pool, where no flow is translated, or the answer to the SYN of "
             "one who had that endpoint before",
             "a backend that answers after its flow has ended: see `timeouts`; or a flood of SYNs"},
    DropText{dataplane::Drop::kNoFlow,
             "a TCP reset or a later fragment of a flow that nobody knows",
             "nothing: it would reach nobody"},
    DropText{dataplane::Drop::kToPeer,
             "an ICMP error about a flow that is not here",
             "nothing: the flow has ended, or another node that announces the VIP has it"},
    DropText{dataplane::Drop::kIcmpRateLimited,
             "more ICMP errors than a worker forwards in a second",
             "a flood, or a router that drops a lot: see where the errors come from"},
    DropText{dataplane::Drop::kNoBackend,
             "no backend of the packet's family takes new flows",
             "`holdfast backends` says which are down, drained or of weight 0"},
    DropText{
        dataplane::Drop::kNatPoolExhausted,
        "the NAT pool has no free port towards the backend and none that a half-open flow among "
        "the 192 that are tried can give up (UDP: after 5 s without an answer), or no address of "
        "the packet's family",
        "more addresses in `nat: pool`, or shorter `timeouts`"},
    DropText{dataplane::Drop::kNatTableFull,
             "no free record for another translated flow",
             "a larger `dataplane: flows`, or shorter `timeouts`"},
    DropText{
        dataplane::Drop::kMemberReset,
        "a TCP reset, a later fragment or an ICMP error of a flow whose backend is being reset; "
        "its other segments are answered with a reset",
        "nothing: the drain of that backend ends so"},
    DropText{dataplane::Drop::kNoRoute,
             "the host has no route to the next hop",
             "`ip route get ADDRESS` on the host, by one of Holdfast's ports"},
    DropText{dataplane::Drop::kNoNeighbor,
             "the next hop's link-layer address is not known yet",
             "the first packets to a backend; if it lasts, it does not answer ARP or ND"},
    DropText{dataplane::Drop::kMtu,
             "longer than the way carries, outer headers included, and not answered: it may be "
             "fragmented, or too many were",
             "docs/backends.md, the size of packets"},
    DropText{dataplane::Drop::kNoHeadroom,
             "no room in the buffer for outer headers or VLAN tags",
             "a defect: report it"},
};

constexpr bool drop_texts_are_complete() {
  if (kDropTexts.size() != dataplane::kDropCount) {
    return false;
  }
  for (std::size_t i = 0; i < kDropTexts.size(); ++i) {
    const DropText& text = kDropTexts[i];
    if (text.reason != static_cast<dataplane::Drop>(i) || text.meaning.empty() ||
        text.remedy.empty()) {
      return false;
    }
  }
  return true;
}
static_assert(
    drop_texts_are_complete(),
    "every drop reason has a row here, in the order of drop.h: what it means, what to do");

constexpr const DropText& drop_text(dataplane::Drop reason) {
  return kDropTexts[static_cast<std::size_t>(reason)];
}

}  // namespace holdfast::control
