// SPDX-License-Identifier: Apache-2.0
// See notify.h.
#include "dataplane/process/notify.h"

#include <cstdint>

#include <systemd/sd-daemon.h>

namespace holdfast::dataplane {

void notify_ready(const std::string& status) {
  sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}

void notify_stopping() { sd_notify(0, "STOPPING=1"); }

void notify_alive() { sd_notify(0, "WATCHDOG=1"); }

std::optional<std::chrono::microseconds> watchdog_interval() {
  std::uint64_t interval = 0;
  if (sd_watchdog_enabled(0, &interval) <= 0) {
    return std::nullopt;
  }
  return std::chrono::microseconds(interval);
}

}  // namespace holdfast::dataplane
