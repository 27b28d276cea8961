// SPDX-License-Identifier: Apache-2.0
// See scheduler.h.
#include "control/probe/scheduler.h"

#include <utility>

namespace holdfast::control {

Scheduler::Scheduler(Clock& clock, Prober& prober, Handler handler)
    : clock_(clock), prober_(prober), handler_(std::move(handler)) {}

Scheduler::~Scheduler() { stop(); }

void Scheduler::set(const std::set<CheckSpec>& checks) {
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (checks.contains(entry->first)) {
      ++entry;
      continue;
    }
    clock_.cancel(entry->second.next);
    if (entry->second.probe != 0) {
      prober_.cancel(entry->second.probe);
    }
    entry = entries_.erase(entry);
  }
  for (const CheckSpec& check : checks) {
    const auto [entry, added] = entries_.try_emplace(check);
    if (added) {
      entry->second.phase = phase_of(check);
      plan(entry, next_tick(check, entry->second));
    }
  }
}

void Scheduler::confirm(const CheckSpec& check) {
  bring_forward(check, clock_.now() + kConfirmDelay);
}

void Scheduler::probe_now(const CheckSpec& check) { bring_forward(check, clock_.now()); }

void Scheduler::bring_forward(const CheckSpec& check, Clock::TimePoint when) {
  const auto entry = entries_.find(check);
  if (entry == entries_.end()) {
    return;
  }
  if (entry->second.probe != 0) {
    entry->second.again = true;
  } else if (entry->second.next.when > when) {
    clock_.cancel(entry->second.next);
    plan(entry, when);
  }
}

Clock::TimePoint Scheduler::next_tick(const CheckSpec& check, const Entry& entry) const {
  const std::chrono::nanoseconds interval = check.interval;
  const auto since_phase = clock_.now().time_since_epoch() - entry.phase;
  return Clock::TimePoint(entry.phase + (since_phase / interval + 1) * interval);
}

void Scheduler::plan(Entries::iterator entry, Clock::TimePoint when) {
  entry->second.next = clock_.at(when, [this, entry, when] { launch(entry, when); });
}

void Scheduler::launch(Entries::iterator entry, Clock::TimePoint planned) {
  plan(entry, next_tick(entry->first, entry->second));
  if (entry->second.probe != 0) {
    ++skipped_;
    return;
  }
  entry->second.probe = ++last_probe_;
  prober_.start(last_probe_, entry->first, planned, [this, entry](const ProbeResult& result) {
    finished(entry, result);
  });
}

void Scheduler::finished(Entries::iterator entry, const ProbeResult& result) {
  entry->second.probe = 0;
  if (std::exchange(entry->second.again, false)) {
    bring_forward(entry->first, clock_.now());
  }
  // The handler may change the set of checks, this one included.
  const CheckSpec check = entry->first;
  handler_(check, result);
}

}  // namespace holdfast::control
