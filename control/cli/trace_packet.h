// SPDX-License-Identifier: Apache-2.0
// The packet that `holdfast trace` asks about: its ends as text, and the frame. Pure.
#pragma once

#include "dataplane/address.h"
#include "dataplane/burst.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

struct TraceEndpoint {
  dataplane::Address address;
  std::uint16_t port = 0;
};

// "192.0.2.1:80" or "[2001:db8::1]:80". The error says what is wrong with it.
std::expected<TraceEndpoint, std::string> parse_endpoint(std::string_view text);
// The same text again.
std::string endpoint_text(const dataplane::Address& address, std::uint16_t port);

inline constexpr std::uint8_t kTraceTtl = 64;

// A client's MSS on an Ethernet of 1500 bytes, which the SYN announces in the only option it has.
constexpr std::uint16_t trace_mss(bool v4) { return v4 ? 1460 : 1440; }

// A TCP segment, by default a SYN, or a UDP datagram. Requires: both addresses of one family;
// protocol TCP or UDP; size <= 65535.
struct TracePacket {
  dataplane::FlowKey key;
  std::size_t size = 0;  // the IP packet is filled up to it with zeros, where it is shorter
  std::uint8_t ttl = kTraceTtl;
  std::uint8_t tcp_flags = dataplane::kTcpSyn;
  bool dont_fragment = true;  // IPv4
};

// "syn,ack" as bits of a TCP header, "none" as 0; nullopt: another word.
std::optional<std::uint8_t> parse_tcp_flags(std::string_view text);

// The packet's frame, with valid lengths and checksums.
std::vector<std::byte> build_trace_frame(const TracePacket& packet,
                                         const dataplane::MacAddress& destination,
                                         const dataplane::MacAddress& source);

}  // namespace holdfast::control
