// SPDX-License-Identifier: Apache-2.0
// See readiness.h.
#include "control/admin/readiness.h"

#include <algorithm>

#include <fmt/format.h>

namespace holdfast::control {

std::vector<std::string> not_ready(const StatusView& status,
                                   std::span<const ServiceView> services) {
  if (!status.dataplane_connected) {
    return {"the dataplane is not connected"};
  }
  std::vector<std::string> reasons;
  if (status.counters_age_s > kUnansweredSeconds) {
    reasons.push_back(
        fmt::format("the dataplane has not answered for {:.1f} s", status.counters_age_s));
  }
  if (status.generation.value_or(0) == 0) {
    reasons.emplace_back("no configuration is in force yet");
  }
  for (const WorkerView& worker : status.workers) {
    if (worker.silent_s > kSilentSeconds) {
      reasons.push_back(
          fmt::format("worker {} has not come round for {:.1f} s", worker.worker, worker.silent_s));
    }
  }
  if (const auto& drained = status.drained) {
    reasons.push_back("the node is drained by " + drained->who +
                      (drained->reason.empty() ? "" : " (" + drained->reason + ")"));
  }
  const auto takes_flows = [](const ServiceView& service) { return service.usable > 0; };
  if (std::ranges::none_of(services, takes_flows)) {
    reasons.emplace_back("no service has a backend that takes new flows");
  }
  return reasons;
}

}  // namespace holdfast::control
