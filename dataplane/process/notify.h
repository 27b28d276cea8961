// SPDX-License-Identifier: Apache-2.0
// What systemd is told: ready, stopping, and the watchdog's pings. Without NOTIFY_SOCKET nothing
// happens. Main thread.
#pragma once

#include <string>

namespace holdfast::dataplane {

void notify_ready(const std::string& status);
void notify_stopping();
// For WatchdogSec=2 and longer: called four times a second.
void notify_alive();

}  // namespace holdfast::dataplane
