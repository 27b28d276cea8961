// SPDX-License-Identifier: Apache-2.0
// How long to wait before a child is started again: not at all when it has been up for 10 s, else
// 100 ms, doubling to 5 s. Pure; the caller owns the clock.
#pragma once

#include <algorithm>
#include <chrono>

namespace holdfast::control {

class Backoff {
 public:
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kLongest{5'000};
  static constexpr std::chrono::milliseconds kForgiven{10'000};

  // The wait after an end that came `uptime` after the start.
  std::chrono::milliseconds after(std::chrono::milliseconds uptime) {
    if (uptime >= kForgiven) {
      next_ = kFirst;
      return std::chrono::milliseconds(0);
    }
    const auto wait = next_;
    next_ = std::min(next_ * 2, kLongest);
    return wait;
  }

 private:
  std::chrono::milliseconds next_ = kFirst;
};

}  // namespace holdfast::control
