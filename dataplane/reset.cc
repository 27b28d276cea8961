// SPDX-License-Identifier: Apache-2.0
// TCP resets in place.
#include "dataplane/reset.h"

#include "dataplane/checksum.h"
#include "dataplane/headers.h"
#include "dataplane/segment.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace holdfast::dataplane {
namespace {

constexpr std::uint8_t kResetTtl = 64;
constexpr std::uint16_t kMinimumFrame = 60;  // IEEE 802.3, without the FCS

TcpHeader reset_for(const Burst& b, Slot i) {
  const Segment segment = segment_of(b, i);
  TcpHeader reset{};
  reset.source_port = b.key[i].destination_port;
  reset.destination_port = b.key[i].source_port;
  reset.data_offset = 5 << 4;
  if ((segment.flags & kTcpAck) != 0) {
    reset.sequence = Be32::from_host(segment.acknowledgment);
    reset.flags = kTcpRst;
  } else {
    reset.acknowledgment = Be32::from_host(segment.sequence + segment.length);
    reset.flags = kTcpRst | kTcpAck;
  }
  ChecksumSum sum =
      pseudo_header(b.key[i].destination, b.key[i].source, Protocol::kTcp, sizeof(TcpHeader));
  sum.add(std::as_bytes(std::span(&reset, 1)));
  reset.checksum = sum.checksum();
  return reset;
}

void write_ipv4(std::byte* at, const FlowKey& key) {
  Ipv4Header ip{};
  ip.version_and_length = 0x45;
  ip.total_length = Be16::from_host(sizeof(Ipv4Header) + sizeof(TcpHeader));
  ip.fragment = Be16::from_host(kIpv4DontFragment);
  ip.ttl = kResetTtl;
  ip.protocol = static_cast<std::uint8_t>(Protocol::kTcp);
  ip.source = key.destination.v4_bits();
  ip.destination = key.source.v4_bits();
  ip.checksum = ChecksumSum(std::as_bytes(std::span(&ip, 1))).checksum();
  store(at, ip);
}

void write_ipv6(std::byte* at, const FlowKey& key) {
  Ipv6Header ip{};
  ip.version_class_flow = Be32::from_host(6U << 28);
  ip.payload_length = Be16::from_host(sizeof(TcpHeader));
  ip.next_header = static_cast<std::uint8_t>(Protocol::kTcp);
  ip.hop_limit = kResetTtl;
  ip.source = key.destination.bytes;
  ip.destination = key.source.bytes;
  store(at, ip);
}

}  // namespace

void answer_with_reset(Burst& b, Slot i) {
  Frame& frame = b.frame[i];
  const TcpHeader reset = reset_for(b, i);
  std::byte* const l3 = frame.data + b.l3_offset[i];
  const bool v4 = b.key[i].source.is_v4();
  std::swap_ranges(frame.data, frame.data + 6, frame.data + 6);
  if (v4) {
    write_ipv4(l3, b.key[i]);
  } else {
    write_ipv6(l3, b.key[i]);
  }
  const std::size_t ip_bytes = v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  store(l3 + ip_bytes, reset);
  const auto written = static_cast<std::uint16_t>(b.l3_offset[i] + ip_bytes + sizeof(TcpHeader));
  // What the request had beyond is cut, but a frame that was padded stays at the minimum.
  const std::uint16_t kept = std::min(frame.contiguous, kMinimumFrame);
  const std::uint16_t end = std::max(written, kept);
  std::fill(frame.data + written, frame.data + end, std::byte{0});
  frame.contiguous = end;
  frame.length = end;
}

}  // namespace holdfast::dataplane
