// SPDX-License-Identifier: Apache-2.0
// A worker's rest between turns that found nothing, by the steps of idle.h. While it sleeps it is
// offline for publication. Its worker's thread only.
//
// Nothing is slept over: what can end a sleep is armed first, then comes one more turn, then the
// sleep. It stays armed over turns that find nothing.
#pragma once

#include "dataplane/process/idle.h"
#include "dataplane/process/port.h"
#include "dataplane/process/quiescence.h"
#include "dataplane/process/waker.h"
#include "dataplane/spec.h"
#include "dataplane/stats.h"

#include <cstdint>
#include <span>
#include <vector>

#include <poll.h>

namespace holdfast::dataplane {

class Sleeper {
 public:
  // `waker`: by which others tell the worker `index` that they left it something. `queues`: those
  // that it receives from. `woken` counts waits that these ended. All outlive this.
  Sleeper(Waker& waker,
          std::span<const PolledQueue> queues,
          Quiescence& quiescence,
          std::uint32_t index,
          Idle idle,
          Counter& woken);

  // After a turn that found something.
  void found_work() {
    empty_turns_ = 0;
    if (armed_ != Armed::kNothing) [[unlikely]] {
      disarm();
    }
  }
  // After one that did not.
  void rest();

 private:
  enum class Armed : std::uint8_t { kNothing, kWaker, kAll };
  void arm(Armed what);
  void disarm();
  void sleep(const Rest& rest);
  // Whether a port ended the wait; errors are told once.
  bool take_readiness();
  // The queue at that place of telling_ does tell.
  void prove(std::size_t place);

  Waker& waker_;
  Quiescence& quiescence_;
  const std::uint32_t index_;
  const Idle idle_;
  Counter& woken_;
  [[nodiscard]] Told told() const { return silent_ == 0 ? Told::kAll : Told::kNotAll; }
  std::size_t silent_ = 0;            // queues that tell nothing, or have not yet
  std::vector<pollfd> polled_;        // the waker, then the queues that tell
  std::vector<PolledQueue> telling_;  // these
  std::vector<bool> proven_;          // by queue that tells: it is known to
  std::uint32_t empty_turns_ = 0;
  Armed armed_ = Armed::kNothing;
  bool port_was_ready_ = false;  // in the last wait
};

}  // namespace holdfast::dataplane
