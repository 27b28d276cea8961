// SPDX-License-Identifier: Apache-2.0
// See supervisor_log.h.
#include "control/cli/supervisor_log.h"

#include <chrono>
#include <string>

#include <fmt/chrono.h>
#include <unistd.h>

namespace holdfast::control {

void log_event(std::string_view event, std::string_view child, std::string_view detail) {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto second = std::chrono::floor<std::chrono::seconds>(now);  // fmt 9 prints no fractions
  std::string line =
      fmt::format("time={:%Y-%m-%dT%H:%M:%S}.{:03}Z level=info component=supervisor event={}",
                  second,
                  (now - second).count(),
                  event);
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
