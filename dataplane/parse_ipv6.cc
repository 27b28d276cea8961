// SPDX-License-Identifier: Apache-2.0
// The IPv6 layer of parse: the fixed header, the extension chain (RFC 8200 §4, bounded as RFC 8883
// and RFC 9098 advise), neighbour discovery. Per packet, on the workers.
#include "dataplane/extension_headers.h"
#include "dataplane/headers.h"
#include "dataplane/parse_layers.h"

#include <optional>

namespace holdfast::dataplane::parsing {
namespace {

constexpr std::uint32_t kFixedHeader = sizeof(Ipv6Header);
constexpr std::uint8_t kNeighborHopLimit = 255;

std::optional<Drop> extension_fault(std::uint8_t kind, const ExtensionHeader& header, bool first) {
  switch (kind) {
    case kHopByHop:
      return first ? std::nullopt : std::optional(Drop::kExtensionChain);
    case kRouting:  // type 0 is forbidden (RFC 5095); segments left mean that we are to route it
      return header.routing_type == 0 || header.segments_left != 0
                 ? std::optional(Drop::kExtensionChain)
                 : std::nullopt;
    default:
      return std::nullopt;
  }
}

// How far the extension headers have been walked, and why not to the upper layer, if so.
struct Chain {
  std::uint8_t protocol = 0;
  std::uint32_t offset = 0;
  unsigned count = 0;
  std::optional<Drop> fault = std::nullopt;
  std::optional<FragmentHeader> fragment = std::nullopt;  // the last header, and not an atomic one
};

// What the header at the chain's end does to it.
void walk_one(Chain& chain, const Frame& frame, Extent packet) {
  if (chain.count == kMostExtensions) {
    chain.fault = Drop::kExtensionChain;
    return;
  }
  if (chain.offset + kLeastExtension > packet.end) {
    chain.fault = Drop::kTruncated;
    return;
  }
  if (chain.offset + kLeastExtension > frame.contiguous) {
    chain.fault = Drop::kExtensionChain;
    return;
  }
  const std::byte* const at = frame.data + chain.offset;
  const auto header = load<ExtensionHeader>(at);
  chain.fault = extension_fault(chain.protocol, header, chain.count == 0);
  if (chain.fault) {
    return;
  }
  if (chain.protocol == kFragmentHeader) {
    const auto fragment = load<FragmentHeader>(at);
    if (!fragment.is_atomic()) {
      chain.fragment = fragment;
    }
  }
  chain.offset += extension_size(chain.protocol, header);
  chain.protocol = header.next;
  ++chain.count;
  if (chain.offset - packet.begin > kMostExtensionBytes) {
    chain.fault = Drop::kExtensionChain;
  } else if (chain.offset > packet.end) {
    chain.fault = Drop::kTruncated;
  }
}

// To the upper layer, or behind the fragment header of a fragment.
Chain walk_extensions(const Frame& frame, Extent packet, std::uint8_t protocol) {
  Chain chain{.protocol = protocol, .offset = packet.begin};
  while (is_extension(chain.protocol) && !chain.fault && !chain.fragment) {
    walk_one(chain, frame, packet);
  }
  return chain;
}

// On from there, within a first fragment, which must hold all headers (RFC 7112).
void walk_first_fragment(Chain& chain, const Frame& frame, Extent packet) {
  while (is_extension(chain.protocol) && !chain.fault) {
    if (chain.protocol == kFragmentHeader) {
      chain.fault = Drop::kFragment;
      return;
    }
    walk_one(chain, frame, packet);
  }
  if (chain.fault == Drop::kTruncated) {
    chain.fault = Drop::kFragmentTiny;
  } else if (!chain.fault && Protocol{chain.protocol} == Protocol::kIcmp6) {
    chain.fault = Drop::kFragment;
  } else if (!chain.fault && Protocol{chain.protocol} != Protocol::kTcp &&
             Protocol{chain.protocol} != Protocol::kUdp) {
    chain.fault = Drop::kUnknownProtocol;
  }
}

bool is_loopback(const Address& address) {
  static constexpr Address kLoopback = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  return address == kLoopback;
}

bool is_link_local(const Address& address) {
  return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

bool is_martian(const FlowKey& key, bool discovery) {
  const Address& source = key.source;
  if (source.bytes[0] == 0xff || is_loopback(source) || source.is_v4() || key.destination.is_v4()) {
    return true;
  }
  return !discovery && (source == Address{} || is_link_local(source));
}

// Steps 6 to 8.
std::optional<Drop> packet_fault(const FlowKey& key, std::uint8_t hop_limit, bool discovery) {
  if (is_martian(key, discovery)) [[unlikely]] {
    return Drop::kMartian;
  }
  if (key.source == key.destination) [[unlikely]] {
    return Drop::kLand;
  }
  if (hop_limit == 0 && !discovery) [[unlikely]] {
    return Drop::kTtlExpired;
  }
  return std::nullopt;
}

bool is_discovery(const Frame& frame, Extent packet) {
  if (packet.size() < sizeof(NeighborMessage) ||
      packet.begin + sizeof(NeighborMessage) > frame.contiguous) {
    return false;
  }
  const auto type = load<std::uint8_t>(frame.data + packet.begin);
  return type == kIcmp6NeighborSolicitation || type == kIcmp6NeighborAdvertisement;
}

bool parse_discovery(Burst& burst, Slot slot, Extent packet, std::uint8_t hop_limit) {
  const auto message = load<NeighborMessage>(burst.frame[slot].data + packet.begin);
  burst.l4_offset[slot] = static_cast<std::uint16_t>(packet.begin);
  if (hop_limit != kNeighborHopLimit || message.code != 0) {
    burst.kind[slot] = Kind::kOther;
  } else {
    burst.kind[slot] = message.type == kIcmp6NeighborSolicitation ? Kind::kNeighborSolicitation
                                                                  : Kind::kNeighborAdvertisement;
  }
  return true;
}

// Steps 6 to 15 of a fragment, whose header the chain ends with.
bool parse_fragment6(Burst& burst,
                     Slot slot,
                     Extent packet,
                     std::uint8_t hop_limit,
                     Chain chain,
                     const FragmentHeader& header) {
  FlowKey& key = burst.key[slot];
  if (const auto why = packet_fault(key, hop_limit, false)) {
    return fault(burst, slot, *why);
  }
  const FragmentFields fields = {
      .identification = header.identification.to_host(),
      .offset = header.offset(),
      .in_front = chain.offset - packet.begin - std::uint32_t{sizeof(FragmentHeader)},
      .more = header.more()};
  const Extent payload = {.begin = chain.offset, .end = packet.end};
  if (chain.protocol == static_cast<std::uint8_t>(Protocol::kIcmp6)) {
    return fault(burst, slot, Drop::kFragment);
  }
  if (fields.offset == 0 && is_extension(chain.protocol)) {
    walk_first_fragment(chain, burst.frame[slot], packet);
  }
  key.protocol = Protocol{chain.protocol};
  return parse_fragment(burst,
                        slot,
                        {.fields = fields,
                         .payload = payload,
                         .upper = {.begin = chain.offset, .end = packet.end},
                         .fault = chain.fault.value_or(kNoFault)});
}

// Steps 5 to 15 of a packet whose fixed header holds.
bool parse_payload(Burst& burst, Slot slot, Extent packet, std::uint8_t hop_limit) {
  const Frame& frame = burst.frame[slot];
  FlowKey& key = burst.key[slot];
  std::uint32_t upper = packet.begin;
  if (const auto next = static_cast<std::uint8_t>(key.protocol); is_extension(next)) [[unlikely]] {
    const Chain chain = walk_extensions(frame, packet, next);
    if (chain.fault) {
      return fault(burst, slot, *chain.fault);
    }
    if (const auto& header = chain.fragment) {
      return parse_fragment6(burst, slot, packet, hop_limit, chain, *header);
    }
    key.protocol = Protocol{chain.protocol};
    upper = chain.offset;
  }
  // RFC 6980: discovery behind a fragment header is not to be believed; nothing else stands there.
  const bool discovery =
      key.protocol == Protocol::kIcmp6 && upper == packet.begin && is_discovery(frame, packet);
  if (const auto why = packet_fault(key, hop_limit, discovery)) [[unlikely]] {
    return fault(burst, slot, *why);
  }
  return discovery ? parse_discovery(burst, slot, packet, hop_limit)
                   : parse_upper(burst, slot, {.begin = upper, .end = packet.end});
}

}  // namespace

bool parse_ipv6(Burst& burst, Slot slot) {
  const Frame& frame = burst.frame[slot];
  const std::uint32_t l3 = burst.l3_offset[slot];
  if (frame.contiguous < l3 + sizeof(Ipv6Header)) [[unlikely]] {
    return burst.drop(slot, Drop::kTruncated);
  }
  const std::byte* ip = frame.data + l3;
  const auto next = load<std::uint8_t>(ip + offsetof(Ipv6Header, next_header));
  set_key(burst.key[slot],
          Address::v6(ip + offsetof(Ipv6Header, source)),
          Address::v6(ip + offsetof(Ipv6Header, destination)),
          Protocol{next});
  if (load<std::uint8_t>(ip) >> 4 != 6) [[unlikely]] {
    return fault(burst, slot, Drop::kBadVersion);
  }
  const std::uint32_t payload = load<Be16>(ip + offsetof(Ipv6Header, payload_length)).to_host();
  const std::uint32_t total = kFixedHeader + payload;
  if (total > 0xffff) [[unlikely]] {
    return fault(burst, slot, Drop::kBadLength);
  }
  if (l3 + total > frame.length) [[unlikely]] {
    return fault(burst, slot, Drop::kTruncated);
  }
  burst.l3_length[slot] = static_cast<std::uint16_t>(total);
  const auto hop_limit = load<std::uint8_t>(ip + offsetof(Ipv6Header, hop_limit));
  return parse_payload(burst, slot, {.begin = l3 + kFixedHeader, .end = l3 + total}, hop_limit);
}

}  // namespace holdfast::dataplane::parsing
