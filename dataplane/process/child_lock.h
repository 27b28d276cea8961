// SPDX-License-Identifier: Apache-2.0
// The lock by which `holdfast run` finds its child (control/cli/child_lock.h): an inherited open
// descriptor, and a file that names who has it. A successor gets the descriptor from its
// predecessor and writes its own name there, so that the supervisor finds it when that one ends.
// Start-up only.
#pragma once

#include "dataplane/process/descriptor.h"

namespace holdfast::dataplane {

// What the environment says we have inherited (HOLDFAST_CHILD_LOCK); not open: nothing.
Descriptor inherited_child_lock();

// Names this process: "PID START\n", the time as in /proc/PID/stat. Nothing without a lock.
void name_child_lock(const Descriptor& lock);

}  // namespace holdfast::dataplane
