// SPDX-License-Identifier: Apache-2.0
// The IPv4 layer of parse (RFC 791, RFC 1812 §5.3.7 for sources). Per packet, on the workers.
#include "dataplane/checksum.h"
#include "dataplane/headers.h"
#include "dataplane/icmp_error.h"
#include "dataplane/parse_layers.h"

namespace holdfast::dataplane::parsing {
namespace {

// Whole; what else may be wrong with it is told later.
[[gnu::noinline]] bool is_error(const Frame& frame, std::uint32_t l3, const Ipv4Header& ip) {
  const std::uint32_t l4 = l3 + ip.header_length();
  return Protocol{ip.protocol} == Protocol::kIcmp && !is_fragment(ip.fragment) &&
         ip.total_length.to_host() > ip.header_length() && l4 < frame.contiguous &&
         is_icmp_error(load<std::uint8_t>(frame.data + l4), Protocol::kIcmp);
}

// Field by field: a copy of the whole header would stand on the stack, and cost 2 ns.
Ipv4Header judged_ipv4(const std::byte* at) {
  Ipv4Header ip;
  ip.version_and_length = load<std::uint8_t>(at + offsetof(Ipv4Header, version_and_length));
  ip.total_length = load<Be16>(at + offsetof(Ipv4Header, total_length));
  ip.fragment = load<Be16>(at + offsetof(Ipv4Header, fragment));
  ip.ttl = load<std::uint8_t>(at + offsetof(Ipv4Header, ttl));
  ip.protocol = load<std::uint8_t>(at + offsetof(Ipv4Header, protocol));
  ip.source = load<Be32>(at + offsetof(Ipv4Header, source));
  ip.destination = load<Be32>(at + offsetof(Ipv4Header, destination));
  return ip;
}

// The usual header has no options: its sum is five additions without a loop.
bool checksum_holds(const std::byte* at, std::uint32_t header) {
  ChecksumSum sum(std::span(at, sizeof(Ipv4Header)));
  if (header > sizeof(Ipv4Header)) [[unlikely]] {
    sum.add({at + sizeof(Ipv4Header), header - sizeof(Ipv4Header)});
  }
  return sum.verifies();
}

// Steps 1 to 4: may the header be believed at all?
Drop header_fault(const Frame& frame, std::uint32_t l3, const Ipv4Header& ip) {
  const std::uint32_t header = ip.header_length();
  const std::uint32_t total = ip.total_length.to_host();
  if (ip.version() != 4) [[unlikely]] {
    return Drop::kBadVersion;
  }
  if (header < sizeof(Ipv4Header)) [[unlikely]] {
    return Drop::kBadHeaderLength;
  }
  if (l3 + header > frame.contiguous) [[unlikely]] {
    return Drop::kTruncated;
  }
  if (total < header) [[unlikely]] {
    return Drop::kBadLength;
  }
  if (l3 + total > frame.length) [[unlikely]] {
    return Drop::kTruncated;
  }
  if (!checksum_holds(frame.data + l3, header)) [[unlikely]] {
    return Drop::kBadChecksum;
  }
  return kNoFault;
}

// Steps 6 to 8. No router may have passed on what comes from a link-local address (RFC 3927 §7);
// but routers whose links are numbered so, and which pass these on, tell from there of what is too
// big for them, and a path without that is a black hole (RFC 2923 §2.1).
Drop packet_fault(const Frame& frame, std::uint32_t l3, const Ipv4Header& ip) {
  if (is_martian(ip.source)) [[unlikely]] {
    return Drop::kMartian;
  }
  if (is_link_local(ip.source) && !is_error(frame, l3, ip)) [[unlikely]] {
    return Drop::kMartian;
  }
  if (ip.source == ip.destination) [[unlikely]] {
    return Drop::kLand;
  }
  if (ip.ttl == 0) [[unlikely]] {
    return Drop::kTtlExpired;
  }
  return kNoFault;
}

[[gnu::noinline]] bool parse_fragment4(Burst& burst,
                                       Slot slot,
                                       const Ipv4Header& ip,
                                       Extent payload) {
  const std::byte* at = burst.frame[slot].data + burst.l3_offset[slot];
  const std::uint16_t field = ip.fragment.to_host();
  return parse_fragment(
      burst,
      slot,
      {.fields = {.identification = load<Be16>(at + offsetof(Ipv4Header, identification)).to_host(),
                  .offset = std::uint32_t{8} * (field & kIpv4FragmentOffset),
                  .in_front = ip.header_length(),
                  .more = (field & kIpv4MoreFragments) != 0},
       .payload = payload,
       .upper = payload});
}

}  // namespace

bool parse_ipv4(Burst& burst, Slot slot) {
  const Frame& frame = burst.frame[slot];
  const std::uint32_t l3 = burst.l3_offset[slot];
  if (frame.contiguous < l3 + sizeof(Ipv4Header)) [[unlikely]] {
    return burst.drop(slot, Drop::kTruncated);
  }
  const Ipv4Header ip = judged_ipv4(frame.data + l3);
  set_key(
      burst.key[slot], Address::v4(ip.source), Address::v4(ip.destination), Protocol{ip.protocol});
  if (const Drop why = header_fault(frame, l3, ip); why != kNoFault) [[unlikely]] {
    return fault(burst, slot, why);
  }
  if (const Drop why = packet_fault(frame, l3, ip); why != kNoFault) [[unlikely]] {
    return fault(burst, slot, why);
  }
  burst.l3_length[slot] = ip.total_length.to_host();
  const std::uint32_t l4 = l3 + ip.header_length();
  const Extent payload = {.begin = l4, .end = l3 + ip.total_length.to_host()};
  if (is_fragment(ip.fragment)) [[unlikely]] {
    return parse_fragment4(burst, slot, ip, payload);
  }
  return parse_upper(burst, slot, payload);
}

}  // namespace holdfast::dataplane::parsing
