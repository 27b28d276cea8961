// SPDX-License-Identifier: Apache-2.0
// Starts a program as a child with a clean slate: its own process group (a terminal's Ctrl-C is the
// supervisor's alone), no blocked or ignored signal, no standard input, and of the supervisor's
// descriptors only those it is given. PR_SET_PDEATHSIG is not set: a child outlives its supervisor.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include <sys/types.h>

namespace holdfast::control {

// `kept_descriptor` stays open in the child, whose environment names it (HOLDFAST_CHILD_LOCK); -1
// for none. Requires: command has a program's path.
std::expected<pid_t, std::string> spawn(const std::vector<std::string>& command,
                                        int kept_descriptor);

}  // namespace holdfast::control
