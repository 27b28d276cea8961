// SPDX-License-Identifier: Apache-2.0
// Runs one probe at a time for whoever asks, and says how it ended. The scheduler calls it; the
// production one is AsioProber, tests and the simulation have their own. Control thread only.
#pragma once

#include "control/probe/check.h"
#include "control/probe/clock.h"
#include "control/probe/result.h"

#include <cstdint>
#include <functional>

namespace holdfast::control {

class Prober {
 public:
  using Done = std::function<void(const ProbeResult&)>;
  virtual ~Prober() = default;

  // Starts a probe that was planned for `planned`; `done` is called once, at the latest just after
  // the check's timeout. Requires: `id` is not in flight.
  virtual void start(std::uint64_t id, CheckSpec check, Clock::TimePoint planned, Done done) = 0;
  // Ends a probe; its `done` is not called any more. Nothing happens when it has ended already.
  virtual void cancel(std::uint64_t id) = 0;
};

}  // namespace holdfast::control
