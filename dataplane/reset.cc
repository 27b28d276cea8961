// SPDX-License-Identifier: Apache-2.0
// TCP resets in place.
#include "dataplane/reset.h"

#include "dataplane/answer.h"
#include "dataplane/checksum.h"
#include "dataplane/headers.h"
#include "dataplane/segment.h"

#include <algorithm>
#include <cstddef>
#include <span>

namespace holdfast::dataplane {
namespace {

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

}  // namespace

bool answer_with_reset(Burst& b, Slot i, Drop otherwise, WorkerStats& stats) {
  if ((b.tcp_flags[i] & kTcpRst) != 0 || b.piece[i] == Piece::kLater) {
    return b.drop(i, otherwise);
  }
  Frame& frame = b.frame[i];
  const TcpHeader reset = reset_for(b, i);
  std::byte* const l3 = frame.data + b.l3_offset[i];
  const std::size_t ip_size = bare_ip_size(b.key[i].source.is_v4());
  turn_link(frame.data);
  put_answering_ip(l3, b.key[i], Protocol::kTcp, sizeof(TcpHeader));
  store(l3 + ip_size, reset);
  const auto written = static_cast<std::uint16_t>(b.l3_offset[i] + ip_size + sizeof(TcpHeader));
  // What the request had beyond is cut, but a frame that was padded stays at the minimum.
  const std::uint16_t end = std::max(written, std::min(frame.contiguous, kMinimumFrame));
  std::fill(frame.data + written, frame.data + end, std::byte{0});
  frame.end_at(end);
  stats.resets_sent.add(1);
  return b.end(i, Verdict::kReply);
}

}  // namespace holdfast::dataplane
