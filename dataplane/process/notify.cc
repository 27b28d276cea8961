// SPDX-License-Identifier: Apache-2.0
// See notify.h.
#include "dataplane/process/notify.h"

#include <systemd/sd-daemon.h>

namespace holdfast::dataplane {

void notify_ready(const std::string& status) {
  sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}

void notify_stopping() { sd_notify(0, "STOPPING=1"); }

void notify_alive() { sd_notify(0, "WATCHDOG=1"); }

}  // namespace holdfast::dataplane
