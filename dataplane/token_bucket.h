// SPDX-License-Identifier: Apache-2.0
// A limit on how often something happens: a token bucket in integers, so that the same times give
// the same answers everywhere. One owner, one thread; no allocation, no clock of its own.
#pragma once

#include <algorithm>
#include <cstdint>

namespace holdfast::dataplane {

class TokenBucket {
 public:
  // Full at first. A burst of 0 gives nothing; a rate of 0 gives the burst once.
  constexpr TokenBucket(std::uint32_t per_second, std::uint32_t burst)
      : per_second_(per_second),
        capacity_(std::uint64_t{burst} * kThousandths),
        level_(capacity_) {}

  // Takes one token; false when there is none. `now_ms` is a monotonic clock; what runs backward
  // counts as standing still, and a gap of more than 24 days as that.
  constexpr bool take(std::uint64_t now_ms) {
    if (now_ms > last_ms_) {
      const std::uint64_t elapsed = std::min(now_ms - last_ms_, kLongestGapMs);
      level_ = std::min(capacity_, level_ + elapsed * per_second_);
      last_ms_ = now_ms;
    }
    if (level_ < kThousandths) {
      return false;
    }
    level_ -= kThousandths;
    return true;
  }

 private:
  // What comes in a millisecond is the rate in thousandths of a token: nothing is rounded.
  static constexpr std::uint64_t kThousandths = 1000;
  static constexpr std::uint64_t kLongestGapMs = 0x7fffffff;

  std::uint64_t per_second_;
  std::uint64_t capacity_;
  std::uint64_t level_;
  std::uint64_t last_ms_ = 0;
};

}  // namespace holdfast::dataplane
