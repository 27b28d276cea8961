// SPDX-License-Identifier: Apache-2.0
// The short way through parse, for what nearly every packet is: IPv4 right behind the Ethernet
// header, without options, whole, TCP or UDP, and with no fault at all. It knows no reasons: what
// it does not accept takes the way of the layers, which finds out what is wrong with it, if
// anything. So it may refuse what is sound, but must accept nothing that is not. Included by
// parse.cc only.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/checksum.h"
#include "dataplane/headers.h"
#include "dataplane/parse_layers.h"

#include <cstdint>

namespace holdfast::dataplane::parsing {

inline constexpr std::uint32_t kPlainL3 = sizeof(EthernetHeader);
inline constexpr std::uint32_t kPlainL4 = kPlainL3 + sizeof(Ipv4Header);

// Steps 1 to 8 of parse.h.
inline bool is_plain_ipv4(const Frame& frame, const std::byte* ip, std::uint32_t total) {
  constexpr std::uint8_t kNoOptions = 0x45;
  const auto source = load<Be32>(ip + offsetof(Ipv4Header, source));
  return load<Be16>(ip - sizeof(Be16)) == kEtherIpv4 && load<std::uint8_t>(ip) == kNoOptions &&
         total >= sizeof(Ipv4Header) && kPlainL3 + total <= frame.length &&
         !is_fragment(load<Be16>(ip + offsetof(Ipv4Header, fragment))) &&
         ChecksumSum(std::span(ip, sizeof(Ipv4Header))).verifies() && !is_martian(source) &&
         !is_link_local(source) && source != load<Be32>(ip + offsetof(Ipv4Header, destination)) &&
         load<std::uint8_t>(ip + offsetof(Ipv4Header, ttl)) != 0;
}

// Steps 11 and 12. `payload` is what the packet holds behind its IP header.
inline bool is_plain_tcp(const Frame& frame, const std::byte* l4, std::uint32_t payload) {
  const std::uint32_t header =
      std::uint32_t{load<std::uint8_t>(l4 + offsetof(TcpHeader, data_offset))} / 16 * 4;
  return header >= sizeof(TcpHeader) && header <= payload &&
         kPlainL4 + header <= frame.contiguous &&
         !is_nonsense(load<std::uint8_t>(l4 + offsetof(TcpHeader, flags)));
}

// Step 13.
inline bool is_plain_udp(const std::byte* l4, std::uint32_t payload) {
  const std::uint32_t length = load<Be16>(l4 + offsetof(UdpHeader, length)).to_host();
  return length >= sizeof(UdpHeader) && length <= payload;
}

// Parses a slot whose packet is plain; false, and nothing is written: it takes the other way.
inline bool parse_plain(Burst& burst, Slot slot) {
  const Frame& frame = burst.frame[slot];
  if (frame.contiguous < kPlainL4 + sizeof(TcpHeader)) [[unlikely]] {
    return false;
  }
  const std::byte* const ip = frame.data + kPlainL3;
  const std::byte* const l4 = frame.data + kPlainL4;
  const std::uint32_t total = load<Be16>(ip + offsetof(Ipv4Header, total_length)).to_host();
  if (!is_plain_ipv4(frame, ip, total)) [[unlikely]] {
    return false;
  }
  const Protocol protocol{load<std::uint8_t>(ip + offsetof(Ipv4Header, protocol))};
  const bool tcp = protocol == Protocol::kTcp;
  const std::uint32_t payload = total - std::uint32_t{sizeof(Ipv4Header)};
  if (tcp ? !is_plain_tcp(frame, l4, payload)
          : protocol != Protocol::kUdp || !is_plain_udp(l4, payload)) [[unlikely]] {
    return false;
  }
  const auto source_port = load<Be16>(l4);
  const auto destination_port = load<Be16>(l4 + sizeof(Be16));
  if (source_port == Be16{} || destination_port == Be16{}) [[unlikely]] {
    return false;
  }
  burst.kind[slot] = Kind::kTransport;
  burst.tags[slot] = VlanTags{};
  burst.l3_offset[slot] = kPlainL3;
  burst.l4_offset[slot] = kPlainL4;
  burst.l3_length[slot] = static_cast<std::uint16_t>(total);
  burst.tcp_flags[slot] =
      tcp ? load<std::uint8_t>(l4 + offsetof(TcpHeader, flags)) : std::uint8_t{0};
  FlowKey& key = burst.key[slot];
  set_key(key,
          Address::v4(load<Be32>(ip + offsetof(Ipv4Header, source))),
          Address::v4(load<Be32>(ip + offsetof(Ipv4Header, destination))),
          protocol);
  key.source_port = source_port;
  key.destination_port = destination_port;
  return true;
}

}  // namespace holdfast::dataplane::parsing
