// SPDX-License-Identifier: Apache-2.0
// How late our own thread was with its last probes: a ring of the newest 1024. Control thread only.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

namespace holdfast::control {

class Lateness {
 public:
  void add(std::chrono::nanoseconds value) { values_[next_++ % values_.size()] = value; }
  // The 99th percentile; 0 before the first value. O(1024).
  [[nodiscard]] std::chrono::nanoseconds p99() const {
    auto sorted = values_;
    const std::size_t count = std::min(next_, sorted.size());
    if (count == 0) {
      return {};
    }
    const auto place = sorted.begin() + static_cast<std::ptrdiff_t>((count * 99 - 1) / 100);
    std::nth_element(sorted.begin(), place, sorted.begin() + static_cast<std::ptrdiff_t>(count));
    return *place;
  }

 private:
  std::array<std::chrono::nanoseconds, 1024> values_{};
  std::size_t next_ = 0;
};

}  // namespace holdfast::control
