// SPDX-License-Identifier: Apache-2.0
// A burst over heap buffers of the exact size, one allocation per frame, so that AddressSanitizer
// sees a read or write of one byte too many. Tests and fuzzers.
#pragma once

#include "dataplane/burst.h"
#include "tests/support/packet.h"

#include <memory>
#include <span>
#include <vector>

namespace holdfast::testing {

// What surrounds a frame's contiguous bytes. An odd head also makes the data unaligned.
struct Room {
  std::uint16_t head = 0;
  std::uint16_t tail = 0;
  std::uint32_t beyond = 0;  // bytes of the frame that are not contiguous (and not there)
};

class ExactBurst {
 public:
  // Requires: at most kBurstSize frames, each of at most 65535 bytes. The burst is begun.
  explicit ExactBurst(std::span<const Bytes> frames, Room room = {});
  explicit ExactBurst(const Bytes& frame, Room room = {})
      : ExactBurst(std::span(&frame, 1), room) {}

  dataplane::Burst& operator*() { return burst_; }
  dataplane::Burst* operator->() { return &burst_; }
  const dataplane::Burst* operator->() const { return &burst_; }
  [[nodiscard]] dataplane::Frame& frame(dataplane::Slot slot = 0) { return burst_.frame[slot]; }
  // The frame as it is now.
  [[nodiscard]] Bytes bytes(dataplane::Slot slot = 0) const;

 private:
  std::vector<std::unique_ptr<std::byte[]>> storage_;
  dataplane::Burst burst_{};
};

}  // namespace holdfast::testing
