// SPDX-License-Identifier: Apache-2.0
// See frames.h.
#include "bench/frames.h"

#include "dataplane/checksum.h"
#include "dataplane/headers.h"

#include <algorithm>
#include <array>
#include <span>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::size_t kLeastFrame = 64;
// A SYN announces one, as every client's.
constexpr std::array<std::uint8_t, 4> kMssOption = {2, 4, 1460 >> 8, 1460 & 0xff};

std::uint16_t tcp_size(std::uint8_t flags) {
  return sizeof(TcpHeader) + ((flags & kTcpSyn) != 0 ? sizeof kMssOption : 0);
}

std::size_t write_ipv4(std::byte* at, const FlowKey& key, std::uint16_t payload) {
  Ipv4Header ip{
      .version_and_length = 0x45,
      .total_length = Be16::from_host(static_cast<std::uint16_t>(sizeof(Ipv4Header) + payload)),
      .ttl = 64,
      .protocol = 6,
      .source = key.source.v4_bits(),
      .destination = key.destination.v4_bits()};
  ip.checksum = ChecksumSum(std::as_bytes(std::span(&ip, 1))).checksum();
  store(at, ip);
  return sizeof ip;
}

std::size_t write_ipv6(std::byte* at, const FlowKey& key, std::uint16_t payload) {
  const Ipv6Header ip{.version_class_flow = Be32::from_host(6U << 28),
                      .payload_length = Be16::from_host(payload),
                      .next_header = 6,
                      .hop_limit = 64,
                      .source = key.source.bytes,
                      .destination = key.destination.bytes};
  store(at, ip);
  return sizeof ip;
}

}  // namespace

std::size_t write_frame(std::byte* data, const TcpFrame& frame) {
  const bool of_v4 = frame.key.destination.is_v4();
  const EthernetHeader ethernet{.destination = {2, 0, 0, 0, 0, 2},
                                .source = {2, 0, 0, 0, 0, 1},
                                .type = of_v4 ? kEtherIpv4 : kEtherIpv6};
  store(data, ethernet);
  std::byte* at = data + sizeof ethernet;
  const std::uint16_t size = tcp_size(frame.flags);
  at += of_v4 ? write_ipv4(at, frame.key, size) : write_ipv6(at, frame.key, size);
  const TcpHeader tcp{.source_port = frame.key.source_port,
                      .destination_port = frame.key.destination_port,
                      .sequence = Be32::from_host(frame.sequence),
                      .acknowledgment = Be32::from_host(frame.acknowledgment),
                      .data_offset = static_cast<std::uint8_t>(size / 4 << 4),
                      .flags = frame.flags,
                      .window = Be16::from_host(65'535)};
  store(at, tcp);
  store(at + sizeof tcp, kMssOption);  // padding where the header has no place for it
  at += size;
  return std::max(static_cast<std::size_t>(at - data), kLeastFrame);
}

}  // namespace holdfast::dataplane::bench
