// SPDX-License-Identifier: Apache-2.0
// How far a member's own traffic is believed to say that it fails. A hint makes it a suspect at
// once and asks its check; a check that passes refutes the hint, and the next ones are believed
// only after a wait, longer each time: a server that refuses some clients on purpose must not be
// avoided again and again, nor one about which somebody sends forged errors. Pure; one per member.
#pragma once

#include <algorithm>
#include <chrono>

namespace holdfast::control {

class Hints {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kFirstWait{1};
  static constexpr std::chrono::seconds kLongestWait{64};
  static constexpr std::chrono::minutes kForgottenAfter{10};

  [[nodiscard]] bool believed(TimePoint now) const { return now >= again_; }
  // A hint was taken up: whether it was true is open.
  void take(TimePoint now) {
    open_ = true;
    taken_ = now;
  }
  // Whether a probe that began then says nothing about the hint.
  [[nodiscard]] bool newer_than(TimePoint began) const { return open_ && began < taken_; }
  // The check has passed.
  void refute(TimePoint now) {
    if (!open_) {
      return;
    }
    open_ = false;
    if (now - again_ > kForgottenAfter) {
      wait_ = kFirstWait;
    }
    again_ = now + wait_;
    wait_ = std::min(wait_ * 2, kLongestWait);
  }
  // The member is down: hints have been right.
  void confirm() { *this = {}; }

 private:
  bool open_ = false;
  TimePoint taken_{};
  std::chrono::seconds wait_{kFirstWait};
  TimePoint again_{};  // from when on one is believed
};

}  // namespace holdfast::control
