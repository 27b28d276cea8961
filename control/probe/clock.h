// SPDX-License-Identifier: Apache-2.0
// Time as control sees it: now, and tasks that run later. Production stands on Asio (asio_clock.h),
// tests and the simulation on a virtual clock, so that hours of failures run in seconds. Control
// thread only.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>

namespace holdfast::control {

class Clock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Task = std::function<void()>;

  // Names a planned task; also its order: earlier first, then in the order of planning.
  struct Ticket {
    TimePoint when{};
    std::uint64_t id = 0;  // 0: none
    auto operator<=>(const Ticket&) const = default;
  };

  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;
  // Runs `task` once, at `when` or later, never from inside this call.
  virtual Ticket at(TimePoint when, Task task) = 0;
  // Forgets a task that has not begun; does nothing for one that has, or for no ticket.
  virtual void cancel(const Ticket& ticket) = 0;
};

}  // namespace holdfast::control
