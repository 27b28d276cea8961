// SPDX-License-Identifier: Apache-2.0
// See encapsulate.h. Headers are written from the outside in, each behind the one before.
#include "dataplane/encapsulate.h"

#include "dataplane/checksum.h"
#include "dataplane/headers.h"
#include "dataplane/icmp_error.h"

#include <algorithm>
#include <cstddef>

namespace holdfast::dataplane {
namespace {

constexpr std::uint8_t kOuterTtl = 64;
constexpr std::uint8_t kProtocolIpv4 = 4;
constexpr std::uint8_t kProtocolIpv6 = 41;
constexpr std::uint8_t kProtocolGre = 47;
constexpr std::uint32_t kVxlanHasVni = 0x08000000;
constexpr std::uint16_t kEphemeral = 0xc000;  // 49152 to 65535, as RFC 7348 §5 asks
constexpr std::uint16_t kGlbPorts = 0x8000;

// RFC 2784 §2.1.
struct GreHeader {
  Be16 flags;
  Be16 protocol;
};
static_assert(sizeof(GreHeader) == 4);

// RFC 7348 §5.
struct VxlanHeader {
  Be32 flags;
  Be32 vni;  // upper 24 bits
};
static_assert(sizeof(VxlanHeader) == 8);

// GUE variant 0 with GLB's private data: its type, and a list that the receivers walk along.
struct GueHopHeader {
  std::uint8_t length = 0;  // version and flag bits are 0; in units of 4 bytes, behind the first 4
  std::uint8_t protocol = 0;
  Be16 flags;
  Be16 private_type;
  std::uint8_t next_hop = 0;
  std::uint8_t hop_count = 0;
};
static_assert(sizeof(GueHopHeader) == 8);

// The client's packet, before anything is written.
struct Inner {
  const std::byte* at;
  std::uint16_t length;
  bool v4;
  std::uint8_t service;  // DSCP and ECN
  Be16 identification;
  Be16 fragment;  // of the outer header, if that is IPv4
};

// What the outer IP header says; `length` is that behind it.
struct OuterV4 {
  Be32 source;
  std::uint16_t length;
};
struct OuterV6 {
  Address source;
  std::uint16_t length;
  std::uint64_t hash;  // of the flow
};

Inner inner_of(const Burst& b, Slot i) {
  const std::byte* const at = b.frame[i].data + b.l3_offset[i];
  Inner inner{.at = at,
              .length = b.l3_length[i],
              .v4 = b.key[i].source.is_v4(),
              .service = 0,
              .identification = Be16{},
              .fragment = Be16::from_host(kIpv4DontFragment)};
  if (!inner.v4) {
    const std::uint32_t first = load<Ipv6Header>(at).version_class_flow.to_host();
    inner.service = static_cast<std::uint8_t>(first >> 20);
    return inner;
  }
  const auto ip = load<Ipv4Header>(at);
  inner.service = ip.service;
  if ((ip.fragment.to_host() & kIpv4DontFragment) == 0 && b.piece[i] == Piece::kWhole) {
    inner.fragment = Be16{};
    inner.identification = ip.identification;
  }
  return inner;
}

std::uint16_t udp_source_port(const Burst& b, Slot i, const TunnelEnd& end) {
  const auto hash = static_cast<std::uint16_t>(b.hash[i] >> 16);
  if (end.mode == Mode::kVxlan) {
    return kEphemeral | hash;
  }
  if (end.tunnel.hops != 0) {
    return kGlbPorts | hash;
  }
  const FlowKey& key = b.key[i];
  const auto high = static_cast<std::uint16_t>(key.source.bytes[12] << 8);
  return key.source_port.to_host() ^ static_cast<std::uint16_t>(high | key.source.bytes[13]);
}

// What the checksum of the packet covers beside the segment. An ICMP error's key is not its own.
ChecksumSum pseudo_header_of(const Burst& b, Slot i, std::uint32_t segment) {
  const FlowKey& key = b.key[i];
  if (b.kind[i] != Kind::kIcmpError) [[likely]] {
    return pseudo_header(key.source, key.destination, key.protocol, segment);
  }
  return key.source.is_v4()
             ? ChecksumSum{}
             : pseudo_header(error_source(b, i), key.destination, Protocol::kIcmp6, segment);
}

// The sum of the client's packet, if it is undamaged: a valid TCP, UDP or ICMP checksum makes the
// segment and its pseudo header add up to nothing, so the segment counts as the pseudo header's
// complement.
ChecksumSum sum_of_valid(const Burst& b, Slot i, const Inner& inner) {
  const auto headers = static_cast<std::size_t>(b.l4_offset[i] - b.l3_offset[i]);
  const auto segment = static_cast<std::uint32_t>(inner.length - headers);
  ChecksumSum sum(std::span(inner.at, headers));
  sum.add(pseudo_header_of(b, i, segment).checksum());
  return sum;
}

// Whether the packet has a checksum that tells of all of its payload. The length of a UDP datagram
// may be less than that of the packet that carries it (RFC 9868 puts options there).
bool has_checksum(const Burst& b, Slot i) {
  if (b.piece[i] != Piece::kWhole) {
    return false;
  }
  if (b.key[i].protocol != Protocol::kUdp || b.kind[i] == Kind::kIcmpError) {
    return true;
  }
  const auto udp = load<UdpHeader>(b.frame[i].data + b.l4_offset[i]);
  return udp.checksum != Be16{} &&
         b.l4_offset[i] + udp.length.to_host() == b.l3_offset[i] + b.l3_length[i];
}

// Writes headers one behind the other.
class Writer {
 public:
  explicit Writer(std::byte* at) : at_(at) {}
  template <typename T>
  std::byte* put(const T& header) {
    std::byte* const here = at_;
    store(at_, header);
    at_ += sizeof(T);
    return here;
  }
  [[nodiscard]] std::byte* at() const { return at_; }

 private:
  std::byte* at_;
};

std::uint8_t protocol_of_packet(const Inner& inner) {
  return inner.v4 ? kProtocolIpv4 : kProtocolIpv6;
}
Be16 type_of_packet(const Inner& inner) { return inner.v4 ? kEtherIpv4 : kEtherIpv6; }

std::uint8_t outer_protocol(const TunnelEnd& end, const Inner& inner) {
  switch (end.mode) {
    case Mode::kGre:
      return kProtocolGre;
    case Mode::kGue:
    case Mode::kVxlan:
      return static_cast<std::uint8_t>(Protocol::kUdp);
    default:
      return protocol_of_packet(inner);
  }
}

void put_outer_ipv6(Writer& out, const Inner& inner, const TunnelEnd& end, const OuterV6& outer) {
  out.put(Ipv6Header{.version_class_flow =
                         Be32::from_host((6U << 28) | (std::uint32_t{inner.service} << 20) |
                                         (static_cast<std::uint32_t>(outer.hash >> 16) & 0xfffff)),
                     .payload_length = Be16::from_host(outer.length),
                     .next_header = outer_protocol(end, inner),
                     .hop_limit = kOuterTtl,
                     .source = outer.source.bytes,
                     .destination = end.member.bytes});
}

// Word by word, summed from registers: a header that is put together in memory waits for its small
// stores when it is summed, and again when it is copied.
void put_outer_ipv4(Writer& out, const Inner& inner, const TunnelEnd& end, const OuterV4& outer) {
  const auto total = static_cast<std::uint16_t>(outer.length + sizeof(Ipv4Header));
  const auto first = Be32::from_host((0x45U << 24) | (std::uint32_t{inner.service} << 16) | total);
  const auto second = Be32::from_host((std::uint32_t{inner.identification.to_host()} << 16) |
                                      inner.fragment.to_host());
  const auto life =
      Be16::from_host(static_cast<std::uint16_t>((kOuterTtl << 8) | outer_protocol(end, inner)));
  const Be32 destination = end.member.v4_bits();
  ChecksumSum sum;
  sum.add(first);
  sum.add(second);
  sum.add(life);
  sum.add(outer.source);
  sum.add(destination);
  out.put(first);
  out.put(second);
  out.put(life);
  out.put(sum.checksum());
  out.put(outer.source);
  out.put(destination);
}

void put_gue_hops(Writer& out, const TunnelEnd& end, const Inner& inner) {
  if (end.tunnel.hops == 0) {
    return;
  }
  const auto count = static_cast<std::uint8_t>(end.hops.size());
  out.put(GueHopHeader{.length = static_cast<std::uint8_t>(1 + count),
                       .protocol = protocol_of_packet(inner),
                       .flags = Be16{},
                       .private_type = Be16{},
                       .next_hop = 0,
                       .hop_count = count});
  for (const Address& hop : end.hops) {
    out.put(hop.v4_bits());
  }
}

void put_vxlan(Writer& out, const TunnelEnd& end, const Inner& inner) {
  out.put(VxlanHeader{.flags = Be32::from_host(kVxlanHasVni),
                      .vni = Be32::from_host(end.tunnel.vni << 8)});
  out.put(EthernetHeader{.destination = end.inner_mac,
                         .source = end.tunnel.inner_source,
                         .type = type_of_packet(inner)});
}

// The sum of what stands behind the outer UDP header; nullopt where it cannot be known. Requires:
// the headers between are written, from `between`.
std::optional<ChecksumSum> sum_behind_udp(
    const Burst& b, Slot i, const Inner& inner, const std::byte* between, bool outer_v4) {
  const ChecksumSum headers(std::span(between, static_cast<std::size_t>(inner.at - between)));
  if (has_checksum(b, i)) {
    return headers + sum_of_valid(b, i, inner);
  }
  const Frame& frame = b.frame[i];
  if (outer_v4 || frame.contiguous != frame.length) {
    return std::nullopt;
  }
  return headers + ChecksumSum(std::span(inner.at, inner.length));
}

// Addresses and UDP ports of the outer packet.
FlowKey outer_ends(const Burst& b, Slot i, const TunnelEnd& end) {
  return {.source = end.member.is_v4() ? Address::v4(tunnel_source4(end.tunnel, b.key[i]))
                                       : tunnel_source6(end.tunnel, b.key[i]),
          .destination = end.member,
          .source_port = Be16::from_host(udp_source_port(b, i, end)),
          .destination_port = Be16::from_host(end.tunnel.port),
          .protocol = Protocol::kUdp};
}

void put_udp(Writer& out, const FlowKey& outer, std::uint16_t length) {
  out.put(UdpHeader{.source_port = outer.source_port,
                    .destination_port = outer.destination_port,
                    .length = Be16::from_host(length),
                    .checksum = Be16{}});
}

void finish_udp(std::byte* udp,
                const FlowKey& outer,
                std::uint16_t length,
                const std::optional<ChecksumSum>& behind) {
  if (!behind) {
    return;
  }
  const ChecksumSum sum = pseudo_header(outer.source, outer.destination, Protocol::kUdp, length) +
                          ChecksumSum(std::span(udp, sizeof(UdpHeader))) + *behind;
  const Be16 checksum = sum.checksum();
  store(udp + offsetof(UdpHeader, checksum),
        checksum == Be16{} ? Be16::from_host(0xffff) : checksum);
}

// What the headers between outer and inner IP are made from; `length` is that behind the outer IP.
struct Between {
  const TunnelEnd& end;
  const Inner& inner;
  const FlowKey& outer;
  std::uint16_t length;
};

void finish_udp_of(const Between& between, std::byte* udp, const Burst& b, Slot i) {
  finish_udp(udp,
             between.outer,
             between.length,
             sum_behind_udp(
                 b, i, between.inner, udp + sizeof(UdpHeader), between.outer.destination.is_v4()));
}

void put_between(Writer& out, const Between& between, const Burst& b, Slot i) {
  std::byte* const behind = out.at();
  switch (between.end.mode) {
    case Mode::kGre:
      out.put(GreHeader{.flags = Be16{}, .protocol = type_of_packet(between.inner)});
      break;
    case Mode::kGue:
      put_udp(out, between.outer, between.length);
      put_gue_hops(out, between.end, between.inner);
      finish_udp_of(between, behind, b, i);
      break;
    case Mode::kVxlan:
      put_udp(out, between.outer, between.length);
      put_vxlan(out, between.end, between.inner);
      // RFC 7348 §5: zero over IPv4; a receiver need not take a zero over IPv6.
      if (!between.outer.destination.is_v4()) {
        finish_udp_of(between, behind, b, i);
      }
      break;
    default:
      break;
  }
}

}  // namespace

std::uint16_t tunnel_overhead(const TunnelEnd& end) {
  std::size_t bytes = end.member.is_v4() ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  switch (end.mode) {
    case Mode::kGre:
      bytes += sizeof(GreHeader);
      break;
    case Mode::kGue:
      bytes += sizeof(UdpHeader);
      if (end.tunnel.hops != 0) {
        bytes += sizeof(GueHopHeader) + end.hops.size() * sizeof(Be32);
      }
      break;
    case Mode::kVxlan:
      bytes += sizeof(UdpHeader) + sizeof(VxlanHeader) + sizeof(EthernetHeader);
      break;
    default:
      break;
  }
  return static_cast<std::uint16_t>(bytes);
}

Be32 tunnel_source4(const TunnelSpec& tunnel, const FlowKey& key) {
  if (tunnel.source_v4 != Address{}) {
    return tunnel.source_v4.v4_bits();
  }
  const std::uint16_t port = key.source_port.to_host();
  const std::uint32_t client = (std::uint32_t{key.source.bytes[14]} << 8) | key.source.bytes[15];
  const std::uint32_t swapped = ((port & 0xffU) << 8) | (port >> 8);
  return Be32::from_host((172U << 24) | (16U << 16) | (client ^ swapped));
}

Address tunnel_source6(const TunnelSpec& tunnel, const FlowKey& key) {
  if (tunnel.source_v6 != Address{}) {
    return tunnel.source_v6;
  }
  const auto& client = key.source.bytes;
  const std::uint16_t port = key.source_port.to_host();
  Address source{{0x01, 0x00}};
  std::copy(client.begin() + 12, client.end(), source.bytes.begin() + 12);
  source.bytes[12] ^= static_cast<std::uint8_t>(port >> 8);
  source.bytes[13] ^= static_cast<std::uint8_t>(port);
  return source;
}

bool encapsulate(Burst& b, Slot i, const TunnelEnd& end) {
  Frame& frame = b.frame[i];
  const std::uint16_t overhead = tunnel_overhead(end);
  const auto shift = static_cast<std::uint16_t>(sizeof(EthernetHeader) + overhead - b.l3_offset[i]);
  if (frame.headroom < shift) [[unlikely]] {
    return false;
  }
  const Inner inner = inner_of(b, i);
  const bool outer_v4 = end.member.is_v4();
  const std::size_t outer_ip = outer_v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  const auto length = static_cast<std::uint16_t>(overhead - outer_ip + inner.length);
  std::byte* const at = frame.data - shift;
  store(at + offsetof(EthernetHeader, type), outer_v4 ? kEtherIpv4 : kEtherIpv6);
  Writer out(at + sizeof(EthernetHeader));
  if (outer_v4) {
    put_outer_ipv4(
        out, inner, end, {.source = tunnel_source4(end.tunnel, b.key[i]), .length = length});
  } else {
    put_outer_ipv6(
        out,
        inner,
        end,
        {.source = tunnel_source6(end.tunnel, b.key[i]), .length = length, .hash = b.hash[i]});
  }
  if (end.mode != Mode::kIpip) {
    const FlowKey outer = outer_ends(b, i, end);
    put_between(out, {.end = end, .inner = inner, .outer = outer, .length = length}, b, i);
  }
  frame.grow_front(shift);
  b.l3_offset[i] = sizeof(EthernetHeader);
  b.l4_offset[i] = static_cast<std::uint16_t>(b.l4_offset[i] + shift);
  b.l3_length[i] = static_cast<std::uint16_t>(overhead + inner.length);
  return true;
}

}  // namespace holdfast::dataplane
