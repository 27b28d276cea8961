// SPDX-License-Identifier: Apache-2.0
// The packet that `holdfast trace` asks about: its ends as text, and the frame. Pure.
#pragma once

#include "dataplane/address.h"
#include "dataplane/burst.h"

#include <cstddef>
#include <cstdint>
#include <expected>
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

// A TCP SYN, or a UDP datagram without payload, with valid lengths and checksums, TTL kTraceTtl.
// Requires: both addresses of one family; protocol TCP or UDP.
std::vector<std::byte> build_trace_frame(const dataplane::FlowKey& key,
                                         const dataplane::MacAddress& destination,
                                         const dataplane::MacAddress& source);

}  // namespace holdfast::control
