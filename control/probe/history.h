// SPDX-License-Identifier: Apache-2.0
// The last results of a check, so that an operator can see how its verdict came about. Bounded: 64
// of 24 bytes. Pure; one per check, the roster keeps it.
#pragma once

#include "control/probe/result.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace holdfast::control {

struct PastResult {
  std::int64_t unix_ms = 0;  // when it was known
  std::uint32_t duration_us = 0;
  std::uint32_t lateness_us = 0;
  std::int32_t detail = 0;  // as in ProbeResult
  Layer layer = Layer::kNone;
  Reason reason = Reason::kOk;
};
static_assert(sizeof(PastResult) == 24);

class History {
 public:
  static constexpr std::size_t kKept = 64;

  void add(const ProbeResult& result, std::int64_t unix_ms) {
    const PastResult past{.unix_ms = unix_ms,
                          .duration_us = microseconds(result.duration),
                          .lateness_us = microseconds(result.lateness),
                          .detail = result.detail,
                          .layer = result.layer,
                          .reason = result.reason};
    if (ring_.size() < kKept) {
      ring_.push_back(past);
    } else {
      ring_[oldest_] = past;
      oldest_ = (oldest_ + 1) % kKept;
    }
  }
  [[nodiscard]] std::vector<PastResult> newest_first() const {
    std::vector<PastResult> results = ring_;
    std::ranges::rotate(results, results.begin() + static_cast<std::ptrdiff_t>(oldest_));
    std::ranges::reverse(results);
    return results;
  }

 private:
  static std::uint32_t microseconds(std::chrono::nanoseconds time) {
    constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(time.count() / 1000, 0, kMost));
  }

  std::vector<PastResult> ring_;
  std::size_t oldest_ = 0;
};

}  // namespace holdfast::control
