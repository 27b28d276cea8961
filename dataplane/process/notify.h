// SPDX-License-Identifier: Apache-2.0
// What systemd is told: ready, stopping, and the watchdog's pings. Without NOTIFY_SOCKET nothing
// happens. Main thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace holdfast::dataplane {

void notify_ready(const std::string& status);
void notify_stopping();
void notify_alive();
// How often to ping at most; nullopt when systemd does not watch.
std::optional<std::chrono::microseconds> watchdog_interval();

}  // namespace holdfast::dataplane
