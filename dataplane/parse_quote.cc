// SPDX-License-Identifier: Apache-2.0
// What an ICMP error quotes (steps 16 to 23 of parse.h). Per packet, on the workers; rare.
#include "dataplane/checksum.h"
#include "dataplane/extension_headers.h"
#include "dataplane/headers.h"
#include "dataplane/parse_layers.h"

#include <optional>

namespace holdfast::dataplane::parsing {
namespace {

constexpr std::uint32_t kQuotedBytes = 8;  // of the upper header, at least (RFC 792)
constexpr std::uint16_t kLeastMtu4 = 552;
constexpr std::uint32_t kLeastMtu6 = 1280;

// The quoted packet as far as it is read.
struct Quoted {
  Address source;
  Address destination;
  std::uint8_t protocol = 0;
  std::uint32_t upper = 0;  // where its upper header begins, or the extension headers before it
  bool later_fragment = false;
  std::optional<Drop> fault = std::nullopt;
};

// Why `size` bytes from `at` cannot be read, if so.
std::optional<Drop> missing(const Frame& frame,
                            Extent message,
                            std::uint32_t at,
                            std::uint32_t size) {
  if (at + size > message.end) {
    return Drop::kTruncated;
  }
  return at + size > frame.contiguous ? std::optional(Drop::kExtensionChain) : std::nullopt;
}

// Requires: the key is still the packet's own.
bool checksum_holds(const Burst& b, Slot i, Extent message) {
  const Frame& frame = b.frame[i];
  if (message.end > frame.contiguous) {
    return true;  // being updated by difference, a wrong one stays wrong
  }
  const FlowKey& key = b.key[i];
  const ChecksumSum sum(std::span(frame.data + message.begin, message.size()));
  return key.protocol == Protocol::kIcmp
             ? sum.verifies()
             : (sum + pseudo_header(key.source, key.destination, key.protocol, message.size()))
                   .verifies();
}

bool mtu_is_plausible(const std::byte* icmp, Protocol protocol) {
  const auto type = load<std::uint8_t>(icmp);
  if (protocol == Protocol::kIcmp6) {
    return type != kIcmp6PacketTooBig ||
           load<Be32>(icmp + offsetof(IcmpHeader, identifier)).to_host() >= kLeastMtu6;
  }
  const auto code = load<std::uint8_t>(icmp + offsetof(IcmpHeader, code));
  const std::uint16_t mtu = load<Be16>(icmp + offsetof(IcmpHeader, sequence)).to_host();
  return type != kIcmpUnreachable || code != kIcmpFragmentationNeeded || mtu == 0 ||
         mtu >= kLeastMtu4;
}

Quoted read_ipv4(const Frame& frame, Extent message, std::uint32_t at) {
  if (const auto why = missing(frame, message, at, sizeof(Ipv4Header))) {
    return {.fault = why};
  }
  const auto ip = load<Ipv4Header>(frame.data + at);
  const std::uint32_t header = ip.header_length();
  if (ip.version() != 4 || header < sizeof(Ipv4Header)) {
    return {.fault = Drop::kIcmpImplausible};
  }
  return {.source = Address::v4(ip.source),
          .destination = Address::v4(ip.destination),
          .protocol = ip.protocol,
          .upper = at + header,
          .later_fragment = (ip.fragment.to_host() & kIpv4FragmentOffset) != 0,
          .fault = missing(frame, message, at, header)};
}

Quoted read_ipv6(const Frame& frame, Extent message, std::uint32_t at) {
  if (const auto why = missing(frame, message, at, sizeof(Ipv6Header))) {
    return {.fault = why};
  }
  const auto ip = load<Ipv6Header>(frame.data + at);
  if (ip.version() != 6) {
    return {.fault = Drop::kIcmpImplausible};
  }
  return {.source = Address::v6(ip.source.data()),
          .destination = Address::v6(ip.destination.data()),
          .protocol = ip.next_header,
          .upper = at + static_cast<std::uint32_t>(sizeof(Ipv6Header))};
}

bool addresses_are_plausible(const Quoted& quoted, const Address& receiver) {
  return quoted.source == receiver && quoted.destination.is_v4() == receiver.is_v4();
}

// Moves behind the extension headers. Whatever they asked for was asked of others.
Quoted walk_extensions(const Frame& frame, Extent message, Quoted quoted) {
  const std::uint32_t begin = quoted.upper;
  for (unsigned count = 0; is_extension(quoted.protocol); ++count) {
    if (count == kMostExtensions) {
      return {.fault = Drop::kExtensionChain};
    }
    if (const auto why = missing(frame, message, quoted.upper, kLeastExtension)) {
      return {.fault = why};
    }
    const std::byte* const at = frame.data + quoted.upper;
    const auto header = load<ExtensionHeader>(at);
    if (quoted.protocol == kFragmentHeader && load<FragmentHeader>(at).offset() != 0) {
      quoted.later_fragment = true;
      return quoted;
    }
    quoted.upper += extension_size(quoted.protocol, header);
    quoted.protocol = header.next;
    if (quoted.upper - begin > kMostExtensionBytes) {
      return {.fault = Drop::kExtensionChain};
    }
  }
  return quoted;
}

// Steps 18 to 21.
Quoted read_quoted(const Burst& b, Slot i, Extent message) {
  const Frame& frame = b.frame[i];
  const bool v4 = b.key[i].protocol == Protocol::kIcmp;
  const auto at = static_cast<std::uint32_t>(message.begin + sizeof(IcmpHeader));
  Quoted quoted = v4 ? read_ipv4(frame, message, at) : read_ipv6(frame, message, at);
  if (quoted.fault) {
    return quoted;
  }
  if (!addresses_are_plausible(quoted, b.key[i].destination)) {
    return {.fault = Drop::kIcmpImplausible};
  }
  if (!v4) {
    quoted = walk_extensions(frame, message, quoted);
  }
  if (quoted.later_fragment) {
    return {.fault = Drop::kFragment};
  }
  const Protocol protocol{quoted.protocol};
  if (!quoted.fault && protocol != Protocol::kTcp && protocol != Protocol::kUdp) {
    quoted.fault = Drop::kIcmpUnsupported;
  }
  return quoted;
}

// Step 22. A TCP checksum that is quoted is to be reached too.
std::optional<Drop> upper_fault(const Frame& frame, Extent message, const Quoted& quoted) {
  if (const auto why = missing(frame, message, quoted.upper, kQuotedBytes)) {
    return why;
  }
  constexpr std::uint32_t kToChecksum = offsetof(TcpHeader, checksum) + sizeof(Be16);
  if (Protocol{quoted.protocol} == Protocol::kTcp && quoted.upper + kToChecksum <= message.end) {
    return missing(frame, message, quoted.upper, kToChecksum);
  }
  return std::nullopt;
}

}  // namespace

bool parse_error(Burst& b, Slot i, Extent message) {
  const Frame& frame = b.frame[i];
  FlowKey& key = b.key[i];
  if (!checksum_holds(b, i, message)) {
    return fault(b, i, Drop::kBadChecksum);
  }
  if (!mtu_is_plausible(frame.data + message.begin, key.protocol)) {
    return fault(b, i, Drop::kIcmpImplausible);
  }
  const Quoted quoted = read_quoted(b, i, message);
  if (quoted.fault) {
    return fault(b, i, *quoted.fault);
  }
  if (const auto why = upper_fault(frame, message, quoted)) {
    return fault(b, i, *why);
  }
  const auto source_port = load<Be16>(frame.data + quoted.upper);
  const auto destination_port = load<Be16>(frame.data + quoted.upper + sizeof(Be16));
  if (source_port == Be16{} || destination_port == Be16{}) {
    return fault(b, i, Drop::kIcmpImplausible);
  }
  b.kind[i] = Kind::kIcmpError;
  b.tcp_flags[i] = 0;
  b.quoted_l4_offset[i] = static_cast<std::uint16_t>(quoted.upper);
  set_key(key, quoted.destination, quoted.source, Protocol{quoted.protocol});
  key.source_port = destination_port;
  key.destination_port = source_port;
  return true;
}

}  // namespace holdfast::dataplane::parsing
