// SPDX-License-Identifier: Apache-2.0
// Answers a TCP segment with a reset whose numbers are taken from it (RFC 9293 §3.10.7.1), in
// place. Used where nobody else can answer: a translated flow that no record knows, and flows of a
// member that is being reset. Pure; on the worker.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/stats.h"

namespace holdfast::dataplane {

// Turns the slot's frame into the reset: MAC addresses swapped, tags kept, TTL 64, don't-fragment
// set, no options; padded with zeros as far as the segment reached, up to Ethernet's 60 bytes. A
// reset is never answered (RFC 9293), and a later fragment has no numbers: they are dropped as
// `otherwise`. Ends the slot; always false. Requires: the slot was parsed as TCP.
bool answer_with_reset(Burst& burst, Slot slot, Drop otherwise, WorkerStats& stats);

}  // namespace holdfast::dataplane
