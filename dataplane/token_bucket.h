// SPDX-License-Identifier: Apache-2.0
// A limit on how often something happens: a token bucket in integers, so that the same times give
// the same answers everywhere; and one that many sources share fairly. One owner, one thread; no
// allocation, no clock of its own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace holdfast::dataplane {

class TokenBucket {
 public:
  constexpr TokenBucket() = default;  // gives nothing
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

  std::uint64_t per_second_ = 0;
  std::uint64_t capacity_ = 0;
  std::uint64_t level_ = 0;
  std::uint64_t last_ms_ = 0;
};

// One bucket for all, behind a small one for each of kGroups groups of sources that holds and gives
// a quarter of it: so a source alone leaves the others three quarters, however much it asks for.
// What its group refuses takes nothing from the whole. Four sources can use up the whole, and one
// in 64 of the others is in the group of any of them; which one, only the hash key tells.
// An eighth is too little for what one dead backend sends about one client's flows.
class SharedBudget {
 public:
  static constexpr std::size_t kGroups = 64;
  static constexpr std::uint32_t kShare = 4;

  // Full at first. A group's share is rounded down.
  constexpr SharedBudget(std::uint32_t per_second, std::uint32_t burst)
      : whole_(per_second, burst) {
    groups_.fill(TokenBucket(per_second / kShare, burst / kShare));
  }

  // As TokenBucket's, for a source by its keyed hash.
  constexpr bool take(std::uint64_t source, std::uint64_t now_ms) {
    return groups_[source % kGroups].take(now_ms) && whole_.take(now_ms);
  }

 private:
  TokenBucket whole_;
  std::array<TokenBucket, kGroups> groups_;
};

}  // namespace holdfast::dataplane
