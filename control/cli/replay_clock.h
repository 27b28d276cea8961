// SPDX-License-Identifier: Apache-2.0
// A capture's times as the monotonic clock that the pipeline wants. It starts at one second, stands
// still while times go backward, and takes a gap of more than kLongestGap as that long: every
// flow's stamp then still tells its age. Pure.
#pragma once

#include "control/cli/capture.h"

#include <cstdint>
#include <optional>

namespace holdfast::control {

class ReplayClock {
 public:
  static constexpr std::uint64_t kLongestGapSeconds = 32'768;

  // Milliseconds at a record of this time.
  std::uint64_t advance(const CaptureTime& time) {
    if (latest_ && *latest_ < time) {
      add_gap(*latest_, time);
    }
    if (!latest_ || *latest_ < time) {
      latest_ = time;
    }
    return now_ms_;
  }

 private:
  static constexpr std::uint64_t kMillion = 1'000'000;
  static constexpr std::uint64_t kBillion = 1'000'000'000;

  // Requires: from < to.
  void add_gap(const CaptureTime& from, const CaptureTime& to) {
    const std::uint64_t seconds = to.seconds - from.seconds;
    std::uint64_t gap = kLongestGapSeconds * kBillion;
    if (seconds <= kLongestGapSeconds) {
      gap = seconds * kBillion + to.nanoseconds - from.nanoseconds;
    }
    now_ms_ += (rest_ns_ + gap) / kMillion;
    rest_ns_ = (rest_ns_ + gap) % kMillion;
  }

  std::uint64_t now_ms_ = 1000;
  std::uint64_t rest_ns_ = 0;  // below a millisecond
  std::optional<CaptureTime> latest_;
};

}  // namespace holdfast::control
