// SPDX-License-Identifier: Apache-2.0
// How often a member has fallen lately, as a penalty that fades by half in each half-life: RFC 2439
// (BGP Route Flap Damping), §4.2 its figures, §4.8.3 its decay. A member whose penalty has reached
// `suppress` is held back after it has risen, until the penalty is below `reuse`. A single failure
// never holds one back. Pure; one penalty per member, the roster keeps it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>

namespace holdfast::control {

inline constexpr double kPenaltyOfAFall = 1000;

struct DampingRule {
  std::chrono::milliseconds half_life{60'000};
  double suppress = 2500;
  double reuse = 750;
  std::chrono::milliseconds longest{300'000};  // that a member is held back after its last fall

  // What a penalty never exceeds, so that it has faded to `reuse` within `longest`.
  [[nodiscard]] double ceiling() const {
    return reuse * std::exp2(std::chrono::duration<double>(longest) /
                             std::chrono::duration<double>(half_life));
  }
  bool operator==(const DampingRule&) const = default;
};

class Penalty {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // From up to down.
  void add_fall(TimePoint now, const DampingRule& rule) {
    const bool held = holds(now, rule);
    value_ = std::min(at(now, rule) + kPenaltyOfAFall, rule.ceiling());
    since_ = now;
    held_ = held || value_ >= rule.suppress;
  }
  void clear() { *this = {}; }
  bool operator==(const Penalty&) const = default;

  [[nodiscard]] double at(TimePoint now, const DampingRule& rule) const {
    const std::chrono::duration<double> age = std::max(now - since_, TimePoint::duration::zero());
    return value_ * std::exp2(-age / std::chrono::duration<double>(rule.half_life));
  }
  [[nodiscard]] bool holds(TimePoint now, const DampingRule& rule) const {
    return held_ && at(now, rule) >= rule.reuse;
  }
  // Until it holds the member back no more; 0 when it does not.
  [[nodiscard]] std::chrono::duration<double> left(TimePoint now, const DampingRule& rule) const {
    return holds(now, rule) ? std::chrono::duration<double>(rule.half_life) *
                                  std::log2(at(now, rule) / rule.reuse)
                            : std::chrono::duration<double>(0);
  }

 private:
  double value_ = 0;  // at `since_`
  TimePoint since_;
  bool held_ = false;
};

}  // namespace holdfast::control
