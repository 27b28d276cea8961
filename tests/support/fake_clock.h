// SPDX-License-Identifier: Apache-2.0
// A virtual clock: time stands still until the test moves it; tasks run in order of their times.
#pragma once

#include "control/probe/clock.h"

#include <map>
#include <utility>

namespace holdfast::testing {

class FakeClock final : public control::Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  Ticket at(TimePoint when, Task task) override {
    const Ticket ticket{.when = when, .id = ++last_id_};
    tasks_.emplace(ticket, std::move(task));
    return ticket;
  }
  void cancel(const Ticket& ticket) override { tasks_.erase(ticket); }

  // Moves time, stopping at each task that is due on the way.
  void advance(std::chrono::nanoseconds by) {
    const TimePoint end = now_ + by;
    while (!tasks_.empty() && tasks_.begin()->first.when <= end) {
      auto node = tasks_.extract(tasks_.begin());
      now_ = std::max(now_, node.key().when);
      node.mapped()();
    }
    now_ = end;
  }
  // Moves time without running anything: what a stopped or starved process sees.
  void stall(std::chrono::nanoseconds by) { now_ += by; }
  [[nodiscard]] std::size_t planned() const { return tasks_.size(); }

 private:
  TimePoint now_{std::chrono::hours(1)};
  std::map<Ticket, Task> tasks_;
  std::uint64_t last_id_ = 0;
};

}  // namespace holdfast::testing
