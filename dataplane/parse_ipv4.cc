// SPDX-License-Identifier: Apache-2.0
// The IPv4 layer of parse (RFC 791, RFC 1812 §5.3.7 for sources). Per packet, on the workers.
#include "dataplane/checksum.h"
#include "dataplane/headers.h"
#include "dataplane/parse_layers.h"

#include <optional>

namespace holdfast::dataplane::parsing {
namespace {

// "This network", loopback, multicast, reserved and broadcast (RFC 6890).
bool is_martian(Be32 source) {
  const std::uint32_t network = source.to_host() >> 24;
  return network == 0 || network == 127 || network >= 224;
}

// Steps 1 to 4: may the header be believed at all?
std::optional<Drop> header_fault(const Frame& frame, std::uint32_t l3, const Ipv4Header& ip) {
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
  if (!ChecksumSum(frame.bytes().subspan(l3, header)).verifies()) [[unlikely]] {
    return Drop::kBadChecksum;
  }
  return std::nullopt;
}

// Steps 5 to 8.
std::optional<Drop> packet_fault(const Ipv4Header& ip) {
  if ((ip.fragment.to_host() & (kIpv4MoreFragments | kIpv4FragmentOffset)) != 0) [[unlikely]] {
    return Drop::kFragment;
  }
  if (is_martian(ip.source)) [[unlikely]] {
    return Drop::kMartian;
  }
  if (ip.source == ip.destination) [[unlikely]] {
    return Drop::kLand;
  }
  if (ip.ttl == 0) [[unlikely]] {
    return Drop::kTtlExpired;
  }
  return std::nullopt;
}

}  // namespace

bool parse_ipv4(Burst& burst, Slot slot) {
  const Frame& frame = burst.frame[slot];
  const std::uint32_t l3 = burst.l3_offset[slot];
  if (frame.contiguous < l3 + sizeof(Ipv4Header)) [[unlikely]] {
    return burst.drop(slot, Drop::kTruncated);
  }
  const auto ip = load<Ipv4Header>(frame.data + l3);
  burst.key[slot] = {.source = Address::v4(ip.source),
                     .destination = Address::v4(ip.destination),
                     .source_port = {},
                     .destination_port = {},
                     .protocol = Protocol{ip.protocol}};
  if (const auto why = header_fault(frame, l3, ip)) [[unlikely]] {
    return fault(burst, slot, *why);
  }
  if (const auto why = packet_fault(ip)) [[unlikely]] {
    return fault(burst, slot, *why);
  }
  burst.l3_length[slot] = ip.total_length.to_host();
  const std::uint32_t l4 = l3 + ip.header_length();
  return parse_upper(burst, slot, {.begin = l4, .end = l3 + ip.total_length.to_host()});
}

}  // namespace holdfast::dataplane::parsing
