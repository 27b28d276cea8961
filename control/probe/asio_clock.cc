// SPDX-License-Identifier: Apache-2.0
// See asio_clock.h.
#include "control/probe/asio_clock.h"

#include <utility>

namespace holdfast::control {

Clock::Ticket AsioClock::at(TimePoint when, Task task) {
  const Ticket ticket{.when = when, .id = ++last_id_};
  tasks_.emplace(ticket, std::move(task));
  arm();
  return ticket;
}

void AsioClock::cancel(const Ticket& ticket) { tasks_.erase(ticket); }

void AsioClock::stop() {
  tasks_.clear();
  armed_for_ = TimePoint::max();
  timer_.cancel();
}

void AsioClock::arm() {
  // A cancelled first task leaves an early wake-up behind, which finds nothing due and arms again.
  if (tasks_.empty() || tasks_.begin()->first.when >= armed_for_) {
    return;
  }
  armed_for_ = tasks_.begin()->first.when;
  timer_.expires_at(armed_for_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) {
      armed_for_ = TimePoint::max();
      run_due();
      arm();
    }
  });
}

void AsioClock::run_due() {
  // Tasks planned by these tasks wait for the next turn, so that sockets get theirs.
  const Ticket end{.when = now(), .id = last_id_};
  while (!tasks_.empty() && tasks_.begin()->first.when <= end.when) {
    if (tasks_.begin()->first.id > end.id) {
      break;
    }
    auto node = tasks_.extract(tasks_.begin());
    node.mapped()();
  }
}

}  // namespace holdfast::control
