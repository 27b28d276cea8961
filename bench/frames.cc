// SPDX-License-Identifier: Apache-2.0
// See frames.h.
#include "bench/frames.h"

#include "dataplane/checksum.h"
#include "dataplane/headers.h"

#include <algorithm>
#include <span>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::size_t kLeastFrame = 64;

std::size_t write_ipv4(std::byte* at, const FlowKey& key) {
  Ipv4Header ip{.version_and_length = 0x45,
                .total_length = Be16::from_host(sizeof(Ipv4Header) + sizeof(TcpHeader)),
                .ttl = 64,
                .protocol = 6,
                .source = key.source.v4_bits(),
                .destination = key.destination.v4_bits()};
  ip.checksum = ChecksumSum(std::as_bytes(std::span(&ip, 1))).checksum();
  store(at, ip);
  return sizeof ip;
}

std::size_t write_ipv6(std::byte* at, const FlowKey& key) {
  const Ipv6Header ip{.version_class_flow = Be32::from_host(6U << 28),
                      .payload_length = Be16::from_host(sizeof(TcpHeader)),
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
  at += of_v4 ? write_ipv4(at, frame.key) : write_ipv6(at, frame.key);
  const TcpHeader tcp{.source_port = frame.key.source_port,
                      .destination_port = frame.key.destination_port,
                      .sequence = Be32::from_host(frame.sequence),
                      .acknowledgment = Be32::from_host(frame.acknowledgment),
                      .data_offset = 5 << 4,
                      .flags = frame.flags,
                      .window = Be16::from_host(65'535)};
  store(at, tcp);
  at += sizeof tcp;
  return std::max(static_cast<std::size_t>(at - data), kLeastFrame);
}

}  // namespace holdfast::dataplane::bench
