// SPDX-License-Identifier: Apache-2.0
// See liveness.h. A worker is judged at the time its counters were read, not when they are looked
// at: old counters say nothing new.
#include "control/metrics/liveness.h"

#include <algorithm>

namespace holdfast::control {

std::string Liveness::observe(const StatusView& status, Time now) {
  if (!status.dataplane_connected) {
    workers_.clear();
    return "the dataplane is not connected";
  }
  const Time read = now - std::chrono::duration_cast<Time::duration>(
                              std::chrono::duration<double>(status.counters_age_s));
  std::string reason;
  for (const WorkerView& worker : status.workers) {
    const auto polls = std::ranges::find(worker.counters, "polls", &NamedCount::name);
    if (polls == worker.counters.end()) {
      continue;
    }
    const auto [seen, first] = workers_.try_emplace(worker.worker, Seen{polls->value, read});
    if (!first && seen->second.polls != polls->value) {
      seen->second = {polls->value, read};
    }
    const auto still = read - seen->second.since;
    if (still >= kStalled && reason.empty()) {
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(still).count();
      reason = "worker " + std::to_string(worker.worker) + " has not polled for " +
               std::to_string(seconds) + " s";
    }
  }
  if (reason.empty() && !status.not_in_force.empty()) {
    reason = "the configuration is not in force: " + status.not_in_force;
  }
  return reason;
}

}  // namespace holdfast::control
