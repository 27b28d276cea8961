// SPDX-License-Identifier: Apache-2.0
// When each check is probed: at its own phase of its interval, and at once again (50 ms later) when
// the owner asks for confirmation. The engine says which checks there are; one that stays keeps its
// phase and its probe in flight. Control thread only.
#pragma once

#include "control/probe/check.h"
#include "control/probe/clock.h"
#include "control/probe/prober.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <set>

namespace holdfast::control {

class Scheduler {
 public:
  static constexpr std::chrono::milliseconds kConfirmDelay{50};
  using Handler = std::function<void(const CheckSpec&, const ProbeResult&)>;

  // Requires: `clock` and `prober` outlive it.
  Scheduler(Clock& clock, Prober& prober, Handler handler);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();

  // The checks that are to run from now on. Those that are gone are cancelled.
  void set(const std::set<CheckSpec>& checks);
  // Probes this check 50 ms from now, unless it is due earlier. Unknown checks are ignored.
  void confirm(const CheckSpec& check);
  // The same, at once.
  void probe_now(const CheckSpec& check);
  void stop() { set({}); }

  // Ticks that found the check's previous probe still in flight.
  [[nodiscard]] std::uint64_t skipped() const { return skipped_; }

 private:
  struct Entry {
    std::chrono::nanoseconds phase{0};
    Clock::Ticket next;
    std::uint64_t probe = 0;  // in flight; 0: none
    bool again = false;       // at once, when that is over
  };
  using Entries = std::map<CheckSpec, Entry>;

  [[nodiscard]] Clock::TimePoint next_tick(const CheckSpec& check, const Entry& entry) const;
  void plan(Entries::iterator entry, Clock::TimePoint when);
  void bring_forward(const CheckSpec& check, Clock::TimePoint when);
  void launch(Entries::iterator entry, Clock::TimePoint planned);
  void finished(Entries::iterator entry, const ProbeResult& result);

  Clock& clock_;
  Prober& prober_;
  Handler handler_;
  Entries entries_;
  std::uint64_t last_probe_ = 0;
  std::uint64_t skipped_ = 0;
};

}  // namespace holdfast::control
