// SPDX-License-Identifier: Apache-2.0
// Stage 4 of 7: track. Finds the member of a known flow.
//   reads: key, hash, service, binding, direction    writes: known, member, flow
//   drops: kNoNatFlow, kMemberReset
// Runs in phases over the burst (prefetch all, then look up all), because a lookup that misses the
// cache costs more than everything else together. Also applies the SYN rule of design.md §3: a SYN
// on an entry that is closing, or whose member takes no new flows, makes the flow new again. A flow
// that began under another mode of its service goes on in that mode.
#pragma once

#include "dataplane/flow_table.h"
#include "dataplane/pipeline.h"

#include <cstdint>

namespace holdfast::dataplane {

// One slot. False when it has a verdict afterwards. Select asks again for a packet whose flow an
// earlier frame of the same burst has opened.
bool track_slot(
    Burst& burst, Slot slot, const Generation& generation, WorkerState& state, Stamp now);

void track(Burst& burst, const Generation& generation, WorkerState& state, std::uint64_t now_ms);

}  // namespace holdfast::dataplane
