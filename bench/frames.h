// SPDX-License-Identifier: Apache-2.0
// Minimum-size TCP frames, written in place into a burst's memory, which is reused. One thread.
#pragma once

#include "bench/flows.h"
#include "dataplane/burst.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace holdfast::dataplane::bench {

// What is written. The checksum of TCP stays 0: stages change it by difference and never read the
// rest.
struct TcpFrame {
  FlowKey key;
  std::uint8_t flags = kTcpAck;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
};

// Writes the headers at `data`; returns the frame's length. Requires: Frames::kBytes writable
// bytes.
std::size_t write_frame(std::byte* data, const TcpFrame& frame);

class Frames {
 public:
  static constexpr std::size_t kBytes = 80;  // Ethernet's least, or IPv6 and TCP
  static constexpr std::size_t kRoom = 120;

  explicit Frames(std::size_t bursts = 1) : memory_(bursts * kBurstSize * kStride) {}

  // Sets the slot's frame. Requires: in_burst is less than the bursts that there is memory for.
  void write(Burst& burst, Slot slot, const TcpFrame& frame, std::size_t in_burst = 0) {
    std::byte* const data = memory_.data() + (in_burst * kBurstSize + slot) * kStride + kRoom;
    const std::size_t length = write_frame(data, frame);
    burst.frame[slot] = {.data = data,
                         .length = static_cast<std::uint32_t>(length),
                         .contiguous = static_cast<std::uint16_t>(length),
                         .headroom = kRoom,
                         .tailroom = kRoom,
                         .port = 0};
  }

 private:
  static constexpr std::size_t kStride = kBytes + 2 * kRoom;  // 320: not a power of two
  std::vector<std::byte> memory_;
};

}  // namespace holdfast::dataplane::bench
