// SPDX-License-Identifier: Apache-2.0
// The upper layer of parse: TCP, UDP, ICMP, ICMPv6. Per packet, on the workers.
#include "dataplane/headers.h"
#include "dataplane/icmp_error.h"
#include "dataplane/parse.h"
#include "dataplane/parse_layers.h"

namespace holdfast::dataplane::parsing {
namespace {

// Why the first `size` bytes of the packet cannot be read, if so.
Drop unreadable(const Frame& frame, Extent packet, std::uint32_t size) {
  if (size > packet.size()) [[unlikely]] {
    return Drop::kTruncated;
  }
  if (packet.begin + size > frame.contiguous) [[unlikely]] {
    return Drop::kExtensionChain;  // 256 contiguous bytes hold every header but behind a long chain
  }
  return kNoFault;
}

// Field by field: a copy of the whole header would stand on the stack, and cost 2 ns.
TcpHeader judged_tcp(const std::byte* at) {
  TcpHeader tcp;
  tcp.source_port = load<Be16>(at + offsetof(TcpHeader, source_port));
  tcp.destination_port = load<Be16>(at + offsetof(TcpHeader, destination_port));
  tcp.data_offset = load<std::uint8_t>(at + offsetof(TcpHeader, data_offset));
  tcp.flags = load<std::uint8_t>(at + offsetof(TcpHeader, flags));
  return tcp;
}

Drop tcp_fault(const Frame& frame, Extent packet, const TcpHeader& tcp) {
  const std::uint32_t header = tcp.header_length();
  if (header < sizeof(TcpHeader) || header > packet.size()) [[unlikely]] {
    return Drop::kBadHeaderLength;
  }
  if (packet.begin + header > frame.contiguous) [[unlikely]] {
    return Drop::kExtensionChain;
  }
  if (is_nonsense(tcp.flags)) [[unlikely]] {
    return Drop::kBadTcpFlags;
  }
  return kNoFault;
}

// The length is the datagram's: a first fragment holds less.
Drop udp_fault(Extent packet, const UdpHeader& udp, Piece piece) {
  const std::uint32_t length = udp.length.to_host();
  if (length < sizeof(UdpHeader) || length > packet.size()) [[unlikely]] {
    return length >= sizeof(UdpHeader) && piece == Piece::kFirst ? kNoFault : Drop::kBadLength;
  }
  return kNoFault;
}

bool finish_transport(Burst& burst, Slot slot, Be16 source_port, Be16 destination_port) {
  if (source_port == Be16{} || destination_port == Be16{}) [[unlikely]] {
    return fault(burst, slot, Drop::kPortZero);
  }
  burst.kind[slot] = Kind::kTransport;
  burst.key[slot].source_port = source_port;
  burst.key[slot].destination_port = destination_port;
  return true;
}

bool parse_tcp(Burst& burst, Slot slot, Extent packet) {
  const Frame& frame = burst.frame[slot];
  if (const Drop why = unreadable(frame, packet, sizeof(TcpHeader)); why != kNoFault) [[unlikely]] {
    return fault(burst, slot, why);
  }
  const TcpHeader tcp = judged_tcp(frame.data + packet.begin);
  if (const Drop why = tcp_fault(frame, packet, tcp); why != kNoFault) [[unlikely]] {
    return fault(burst, slot, why);
  }
  burst.tcp_flags[slot] = tcp.flags;
  return finish_transport(burst, slot, tcp.source_port, tcp.destination_port);
}

bool parse_udp(Burst& burst, Slot slot, Extent packet) {
  const Frame& frame = burst.frame[slot];
  if (const Drop why = unreadable(frame, packet, sizeof(UdpHeader)); why != kNoFault) [[unlikely]] {
    return fault(burst, slot, why);
  }
  const auto udp = load<UdpHeader>(frame.data + packet.begin);
  if (const Drop why = udp_fault(packet, udp, burst.piece[slot]); why != kNoFault) [[unlikely]] {
    return fault(burst, slot, why);
  }
  burst.tcp_flags[slot] = 0;
  return finish_transport(burst, slot, udp.source_port, udp.destination_port);
}

bool parse_icmp(Burst& burst, Slot slot, Extent packet, std::uint8_t echo_request) {
  const Frame& frame = burst.frame[slot];
  if (const Drop why = unreadable(frame, packet, sizeof(IcmpHeader)); why != kNoFault)
      [[unlikely]] {
    return fault(burst, slot, why);
  }
  const auto icmp = load<IcmpHeader>(frame.data + packet.begin);
  if (is_icmp_error(icmp.type, burst.key[slot].protocol)) {
    return parse_error(burst, slot, packet);
  }
  if (icmp.type != echo_request || icmp.code != 0) {
    return fault(burst, slot, Drop::kIcmpUnsupported);
  }
  burst.kind[slot] = Kind::kEchoRequest;
  return true;
}

}  // namespace

bool parse_upper(Burst& burst, Slot slot, Extent packet) {
  burst.l4_offset[slot] = static_cast<std::uint16_t>(packet.begin);
  const bool v4 = burst.key[slot].destination.is_v4();
  switch (burst.key[slot].protocol) {
    case Protocol::kTcp:
      return parse_tcp(burst, slot, packet);
    case Protocol::kUdp:
      return parse_udp(burst, slot, packet);
    case Protocol::kIcmp:
      return v4 ? parse_icmp(burst, slot, packet, kIcmpEchoRequest)
                : fault(burst, slot, Drop::kUnknownProtocol);
    case Protocol::kIcmp6:
      return v4 ? fault(burst, slot, Drop::kUnknownProtocol)
                : parse_icmp(burst, slot, packet, kIcmp6EchoRequest);
  }
  return fault(burst, slot, Drop::kUnknownProtocol);
}

}  // namespace holdfast::dataplane::parsing
