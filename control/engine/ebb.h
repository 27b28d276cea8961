// SPDX-License-Identifier: Apache-2.0
// When the last flow of a drain will probably have ended, from how many there were of late. Flows
// that end at a common rate k leave N(t) = N e^(-kt) of N; the last of N ends after H(N)/k on
// average, H(N) = 1 + 1/2 + ... + 1/N. Pure; the engine has one per draining member.
#pragma once

#include "control/probe/clock.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace holdfast::control {

class Ebb {
 public:
  static constexpr std::chrono::seconds kWindow{60};
  static constexpr std::chrono::seconds kApart{1};  // samples that come sooner are left out

  void note(Clock::TimePoint at, std::uint64_t flows);
  // From the newest sample on; nullopt while none has ended within the window.
  [[nodiscard]] std::optional<std::chrono::duration<double>> left() const;

 private:
  struct Sample {
    Clock::TimePoint at;
    std::uint64_t flows = 0;
  };
  std::deque<Sample> samples_;
};

}  // namespace holdfast::control
