// SPDX-License-Identifier: Apache-2.0
// The machine's clocks as plain nanoseconds. Any thread; about 25 ns.
#pragma once

#include <cstdint>
#include <ctime>

namespace holdfast::dataplane {

inline std::uint64_t nanoseconds_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

inline std::uint64_t monotonic_ns() { return nanoseconds_of(CLOCK_MONOTONIC); }
inline std::uint64_t realtime_ns() { return nanoseconds_of(CLOCK_REALTIME); }

}  // namespace holdfast::dataplane
