// SPDX-License-Identifier: Apache-2.0
#include "control/cli/drain_wait.h"

#include "control/cli/json_fields.h"
#include "control/cli/options.h"

#include <algorithm>

namespace holdfast::control {

DrainProgress drain_progress(const boost::json::object& backends,
                             std::span<const std::string> members) {
  DrainProgress progress{.known = true, .flows = 0, .members = ""};
  for (const boost::json::object& backend : objects_field(backends, "backends")) {
    const std::string member = text_field(backend, "service") + "/" + text_field(backend, "name");
    if (std::ranges::find(members, member) == members.end()) {
      continue;
    }
    const std::string flows = text_field(backend, "flows");
    const std::string separator = progress.members.empty() ? "" : ", ";
    if (flows == "-") {
      progress.known = false;
      progress.members.append(separator).append(member).append(": flows not known");
    } else if (flows != "0") {
      progress.flows += count_field(backend, "flows");
      progress.members.append(separator).append(member).append(": ").append(flows).append(" flows");
      if (backend.contains("drain_estimate_s")) {
        const std::chrono::duration<double> left(number_field(backend, "drain_estimate_s"));
        progress.members.append(", ends in about ").append(duration_text(left));
      }
    }
  }
  return progress;
}

}  // namespace holdfast::control
