// SPDX-License-Identifier: Apache-2.0
// ICMP errors as routers and ends build them, for the packet tests.
#pragma once

#include "tests/support/packet.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace holdfast::testing {

inline constexpr Endpoint kFarRouter = {v4(192, 0, 2, 77), 0, kRouterMac};
inline constexpr Endpoint kFarRouter6 = {v6(9, 77), 0, kRouterMac};

// What stands in a router's hands of a packet: its IP header and `upper` bytes behind it.
inline Bytes quote_of(const Packet& packet, std::size_t upper) {
  const Bytes frame = packet.bytes();
  const std::size_t end = std::min(frame.size(), packet.l4_offset() + upper);
  return {frame.begin() + static_cast<std::ptrdiff_t>(packet.l3_offset()),
          frame.begin() + static_cast<std::ptrdiff_t>(end)};
}

// Whole packets are quoted, for want of a smaller number.
inline constexpr std::size_t kWhole = 9000;

// An error of any type. `rest` is what stands in the second word: an MTU, a pointer.
inline Packet icmp_error(const Endpoint& from,
                         const Endpoint& to,
                         std::uint8_t type,
                         std::uint8_t code,
                         std::uint32_t rest,
                         Bytes quote) {
  const Protocol protocol = to.address.is_v4() ? Protocol::kIcmp : Protocol::kIcmp6;
  return Packet(from, to, protocol).icmp(type, code, rest).payload(std::move(quote));
}

// "Packet too big", in either family.
inline Packet too_big(const Endpoint& from,
                      const Endpoint& to,
                      Bytes quote,
                      std::uint32_t mtu = 1400) {
  return to.address.is_v4() ? icmp_error(from, to, 3, 4, mtu, std::move(quote))
                            : icmp_error(from, to, 2, 0, mtu, std::move(quote));
}

}  // namespace holdfast::testing
