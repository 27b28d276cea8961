// SPDX-License-Identifier: Apache-2.0
// What stands in the lock file by which `holdfast run` finds a child that another supervisor
// started: "PID START\n". Both programs write it, the supervisor reads it. A start time tells a
// process from another that was given the same pid. Start-up and restarts only.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

namespace holdfast::dataplane {

// Field 22 of /proc/PID/stat (proc(5)): when the process started, in ticks since boot. Nothing when
// there is no such process.
std::optional<std::string> start_time(pid_t pid);

// The line for this process.
std::string child_lock_text(pid_t pid);

}  // namespace holdfast::dataplane
