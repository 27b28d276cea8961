// SPDX-License-Identifier: Apache-2.0
// Bursts that are written first and then run one after the other, so that only the running is
// timed. As many as stay in the cache together. One thread.
#pragma once

#include "bench/frames.h"
#include "bench/site.h"
#include "dataplane/burst.h"

#include <cstdint>
#include <vector>

namespace holdfast::dataplane::bench {

class PreparedBursts {
 public:
  static constexpr std::size_t kCount = 16;

  PreparedBursts() : frames_(kCount), bursts_(kCount) {}

  // `frame_of(i)` for each of the kCount x kBurstSize packets in turn.
  template <typename FrameOf>
  void write(const FrameOf& frame_of) {
    std::size_t number = 0;
    for (std::size_t b = 0; b < kCount; ++b) {
      for (Slot i = 0; i < kBurstSize; ++i) {
        frames_.write(bursts_[b], i, frame_of(number++), b);
      }
      bursts_[b].begin(kBurstSize);
    }
  }
  Burst& operator[](std::size_t index) { return bursts_[index]; }
  [[nodiscard]] static constexpr std::size_t packets() { return kCount * kBurstSize; }
  [[nodiscard]] std::uint64_t count(Verdict verdict) const {
    std::uint64_t found = 0;
    for (const Burst& burst : bursts_) {
      for (std::uint16_t i = 0; i < burst.size; ++i) {
        found += burst.verdict[i] == verdict ? 1U : 0U;
      }
    }
    return found;
  }

 private:
  Frames frames_;
  std::vector<Burst> bursts_;
};

}  // namespace holdfast::dataplane::bench
