// SPDX-License-Identifier: Apache-2.0
// The headers of an answer that is made on a packet's own frame: back to where it came from, with
// nothing of its own but TTL 64 and, in IPv4, don't-fragment. For resets and packet-too-big
// messages, on the workers; pure.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/checksum.h"
#include "dataplane/headers.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast::dataplane {

inline constexpr std::uint8_t kAnswerTtl = 64;

constexpr std::size_t bare_ip_size(bool v4) { return v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header); }

// Writes an IP header without options from `key`'s destination to its source, in front of `payload`
// bytes of that protocol. Requires: bare_ip_size() bytes at `at`.
inline void put_answering_ip(std::byte* at,
                             const FlowKey& key,
                             Protocol protocol,
                             std::size_t payload) {
  if (!key.source.is_v4()) {
    store(at,
          Ipv6Header{.version_class_flow = Be32::from_host(6U << 28),
                     .payload_length = Be16::from_host(static_cast<std::uint16_t>(payload)),
                     .next_header = static_cast<std::uint8_t>(protocol),
                     .hop_limit = kAnswerTtl,
                     .source = key.destination.bytes,
                     .destination = key.source.bytes});
    return;
  }
  Ipv4Header ip{};
  ip.version_and_length = 0x45;
  ip.total_length = Be16::from_host(static_cast<std::uint16_t>(sizeof(Ipv4Header) + payload));
  ip.fragment = Be16::from_host(kIpv4DontFragment);
  ip.ttl = kAnswerTtl;
  ip.protocol = static_cast<std::uint8_t>(protocol);
  ip.source = key.destination.v4_bits();
  ip.destination = key.source.v4_bits();
  ip.checksum = ChecksumSum(std::as_bytes(std::span(&ip, 1))).checksum();
  store(at, ip);
}

// Swaps the MAC addresses of an Ethernet header.
inline void turn_link(std::byte* link) {
  std::swap_ranges(link, link + sizeof(MacAddress), link + sizeof(MacAddress));
}

}  // namespace holdfast::dataplane
