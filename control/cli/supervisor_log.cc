// SPDX-License-Identifier: Apache-2.0
#include "control/cli/supervisor_log.h"

#include <string>

#include <unistd.h>

namespace holdfast::control {

void log_event(std::string_view event, std::string_view child, std::string_view detail) {
  std::string line = "component=supervisor event=" + std::string(event);
  if (!child.empty()) {
    line += " child=" + std::string(child);
  }
  if (!detail.empty()) {
    line += " " + std::string(detail);
  }
  line += '\n';
  // One write, so that lines of three processes on one terminal stay whole; a reader that is gone
  // is no reason to stop supervising.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace holdfast::control
