// SPDX-License-Identifier: Apache-2.0
// IPv6 extension headers (RFC 8200 §4, RFC 4302 §2.2): which there are, and how long each is. Read
// by parse, of a packet itself and of one that an ICMP error quotes; by rewrite, of fragments.
// Pure, any thread.
#pragma once

#include "dataplane/address.h"
#include "dataplane/headers.h"

#include <cstddef>
#include <cstdint>

namespace holdfast::dataplane::parsing {

// More of them are not followed, as RFC 8883 and RFC 9098 advise.
inline constexpr unsigned kMostExtensions = 4;
inline constexpr std::uint32_t kMostExtensionBytes = 256;

// IANA protocol numbers of the headers that may stand before the upper layer.
enum Extension : std::uint8_t {
  kHopByHop = 0,
  kRouting = 43,
  kFragmentHeader = 44,
  kAuthentication = 51,
  kDestinationOptions = 60,
};

// The first bytes that all of them share; the last two read differently in each.
struct ExtensionHeader {
  std::uint8_t next = 0;
  std::uint8_t length = 0;
  std::uint8_t routing_type = 0;
  std::uint8_t segments_left = 0;
};
static_assert(sizeof(ExtensionHeader) == 4);
inline constexpr std::uint32_t kLeastExtension = 8;

inline constexpr std::uint64_t kExtensions =
    std::uint64_t{1} << kHopByHop | std::uint64_t{1} << kRouting |
    std::uint64_t{1} << kFragmentHeader | std::uint64_t{1} << kAuthentication |
    std::uint64_t{1} << kDestinationOptions;

constexpr bool is_extension(std::uint8_t header) {
  return header < 64 && ((kExtensions >> header) & 1) != 0;
}

// RFC 8200 §4.5. The field: 13 bits of offset in units of 8 bytes, two reserved, "more".
struct FragmentHeader {
  std::uint8_t next = 0;
  std::uint8_t reserved = 0;
  Be16 field;
  Be32 identification;

  [[nodiscard]] std::uint32_t offset() const { return field.to_host() & 0xfff8U; }  // in bytes
  [[nodiscard]] bool more() const { return (field.to_host() & 1U) != 0; }
  // All of its packet (RFC 6946).
  [[nodiscard]] bool is_atomic() const { return offset() == 0 && !more(); }
};
static_assert(sizeof(FragmentHeader) == kLeastExtension);

constexpr std::uint32_t extension_size(std::uint8_t kind, const ExtensionHeader& header) {
  if (kind == kFragmentHeader) {
    return kLeastExtension;
  }
  const std::uint32_t length = header.length;
  return kind == kAuthentication ? (length + 2) * 4 : (length + 1) * 8;
}

// Where the identification of an IPv6 fragment stands; nullptr when the packet is none, or an
// atomic one. Requires: parse has read the chain, at least to the header of the fragment.
inline std::byte* find_identification(std::byte* ip) {
  auto kind = load<std::uint8_t>(ip + offsetof(Ipv6Header, next_header));
  for (std::byte* at = ip + sizeof(Ipv6Header); is_extension(kind);) {
    if (kind == kFragmentHeader && !load<FragmentHeader>(at).is_atomic()) {
      return at + offsetof(FragmentHeader, identification);
    }
    const auto header = load<ExtensionHeader>(at);
    at += extension_size(kind, header);
    kind = header.next;
  }
  return nullptr;
}

}  // namespace holdfast::dataplane::parsing
