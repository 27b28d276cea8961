// SPDX-License-Identifier: Apache-2.0
// What a crash leaves behind: a process whose worker is stuck aborts (housekeeping.cc), and its
// core says where it stood. Start-up only.
#pragma once

namespace holdfast::dataplane {

// Lets the process leave a core as large as the hard limit allows, of its own memory alone: stacks
// and heap. Huge pages, the shared state and whatever else is shared stay out: gigabytes, and other
// people's packets. Call behind the drop of privileges: the kernel takes a core from who changes
// its user. The price: what has the same user may look into the process, as far as the kernel's
// Yama lets it.
void ask_for_core();

}  // namespace holdfast::dataplane
