// SPDX-License-Identifier: Apache-2.0
// Opens a translated flow: a record, a free pool endpoint towards its member, both indexes. Called
// by select on the worker that owns the tables.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/generation.h"
#include "dataplane/worker_state.h"

#include <cstdint>

namespace holdfast::dataplane {

// Endpoints tried per flow before the pool counts as exhausted towards that member: so many in a
// row, then a few at each of some places further on.
inline constexpr std::uint32_t kTriesInARow = 64;
inline constexpr std::uint32_t kJumps = 16;
inline constexpr std::uint32_t kTriesPerJump = 8;

// Sets flow[slot]. Requires: member[slot] is chosen. False: dropped, in this order, as kTtlExpired
// for a packet that may not go further, as kNatPoolExhausted, or as kNatTableFull when no record is
// free and none half-open can give way; only those that this burst has not used can. Every flow
// begins half-open, UDP until the member has answered: a flood of either replaces its own records,
// never an established flow.
bool open_nat_flow(Burst& burst,
                   Slot slot,
                   const Generation& generation,
                   WorkerState& state,
                   std::uint64_t now_ms);

}  // namespace holdfast::dataplane
