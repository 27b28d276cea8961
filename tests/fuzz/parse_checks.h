// SPDX-License-Identifier: Apache-2.0
// What must hold of any frame after parse. Fuzzers only.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/headers.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>

namespace holdfast::testing {

inline void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// Of a slot that parse left live: what the next stages read is there.
inline void check_transport(const dataplane::Burst& burst, dataplane::Slot slot) {
  const dataplane::Frame& frame = burst.frame[slot];
  const std::size_t header = burst.key[slot].protocol == dataplane::Protocol::kTcp
                                 ? sizeof(dataplane::TcpHeader)
                                 : sizeof(dataplane::UdpHeader);
  const std::size_t end = std::size_t{burst.l3_offset[slot]} + burst.l3_length[slot];
  require(burst.l4_offset[slot] + header <= frame.contiguous);
  require(burst.l4_offset[slot] + header <= end && end <= frame.length);
  require(burst.key[slot].source.is_v4() == burst.key[slot].destination.is_v4());
}

// Likewise of a fragment, the first one being readable as a whole packet is.
inline void check_fragment(const dataplane::Burst& burst, dataplane::Slot slot) {
  const dataplane::FragmentExtent& extent = burst.fragment[slot];
  require(burst.piece[slot] != dataplane::Piece::kWhole);
  require((burst.piece[slot] == dataplane::Piece::kFirst) == (extent.begin == 0));
  if (burst.fault[slot] == dataplane::kNoFault) {
    require(extent.begin < extent.end && extent.end <= 65'535);
    if (extent.begin == 0) {
      check_transport(burst, slot);
    }
  }
}

// Likewise of an ICMP error: the quoted ports, and the quoted TCP checksum if it is there.
inline void check_error(const dataplane::Burst& burst, dataplane::Slot slot) {
  const dataplane::Frame& frame = burst.frame[slot];
  const std::size_t end = std::size_t{burst.l3_offset[slot]} + burst.l3_length[slot];
  const std::size_t quoted = burst.quoted_l4_offset[slot];
  const std::size_t checksum = burst.key[slot].protocol == dataplane::Protocol::kTcp ? 18 : 8;
  require(quoted >= burst.l4_offset[slot] + 28U && quoted + 8 <= end && end <= frame.length);
  require(quoted + std::min(checksum, end - quoted) <= frame.contiguous || quoted + 18 > end);
  require(quoted + 8 <= frame.contiguous);
  require(burst.key[slot].source.is_v4() == burst.key[slot].destination.is_v4());
}

// Parse gives one verdict only, and every fault it notes has a name.
inline void check_parsed(const dataplane::Burst& burst, dataplane::Slot slot) {
  if (burst.verdict[slot] == dataplane::Verdict::kDrop) {
    require(burst.reason[slot] == dataplane::Drop::kTruncated);
    return;
  }
  require(burst.verdict[slot] == dataplane::Verdict::kPending);
  if (burst.kind[slot] == dataplane::Kind::kTransport) {
    check_transport(burst, slot);
  }
  if (burst.kind[slot] == dataplane::Kind::kFragment) {
    check_fragment(burst, slot);
  }
  if (burst.kind[slot] == dataplane::Kind::kIcmpError) {
    check_error(burst, slot);
  }
  if (burst.kind[slot] == dataplane::Kind::kFaulty) {
    require(burst.fault[slot] < dataplane::Drop::kCount);
  }
}

}  // namespace holdfast::testing
