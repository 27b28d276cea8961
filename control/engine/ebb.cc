// SPDX-License-Identifier: Apache-2.0
// See ebb.h.
#include "control/engine/ebb.h"

#include <cmath>
#include <numbers>

namespace holdfast::control {

void Ebb::note(Clock::TimePoint at, std::uint64_t flows) {
  if (!samples_.empty() && at - samples_.back().at < kApart) {
    return;
  }
  samples_.push_back({at, flows});
  while (at - samples_.front().at > kWindow) {
    samples_.pop_front();
  }
}

std::optional<std::chrono::duration<double>> Ebb::left() const {
  using Seconds = std::chrono::duration<double>;
  if (!samples_.empty() && samples_.back().flows == 0) {
    return Seconds(0);
  }
  if (samples_.size() < 2 || samples_.back().flows >= samples_.front().flows) {
    return std::nullopt;
  }
  const auto first = static_cast<double>(samples_.front().flows);
  const auto now = static_cast<double>(samples_.back().flows);
  const Seconds passed = samples_.back().at - samples_.front().at;
  const double rate = std::log(first / now) / passed.count();
  const double harmonic = std::log(now) + std::numbers::egamma + 1 / (2 * now);
  return Seconds(harmonic / rate);
}

}  // namespace holdfast::control
