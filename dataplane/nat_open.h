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
// row, then a few at each of some places further on. The row goes on where the last one ended, so
// that as long as flows come each endpoint is tried again, all of an address within 1008 searches;
// there is one search a millisecond at most (pool_shortage.h).
inline constexpr std::uint32_t kTriesInARow = 64;
inline constexpr std::uint32_t kJumps = 16;
inline constexpr std::uint32_t kTriesPerJump = 8;

// Where cards spread replies over the workers (receive_spread.h), an endpoint whose replies come by
// this worker's queue is looked for first, among the next so many for each worker. One in each
// worker's number is such a one, so that when a pool is half in use 4 flows of 1000 find none, and
// take any.
inline constexpr std::uint32_t kSuitedPerWorker = 8;

// For so long at least a UDP flow that waits for its answer keeps its endpoint from newcomers: by
// then resolvers have asked again or elsewhere. Stamps count whole seconds, so one must lie more
// than this number back.
inline constexpr std::uint16_t kSecondsToAnswer = 5;

// Sets record[slot]. Requires: member[slot] is chosen. False: dropped, in this order, as
// kTtlExpired for a packet that may not go further, as kNatPoolExhausted when no endpoint was found
// free and no flow was met that can give way with its own (half-open, UDP after kSecondsToAnswer;
// or over, but not swept yet), or as kNatTableFull when no record is free, none of a flow that is
// over was met (reclaim_nat_record), and none half-open can give way; only those that this burst
// has not used can. Every flow begins half-open, UDP until the
// member has answered: a flood of either replaces its own records, never an established flow.
bool open_nat_flow(Burst& burst,
                   Slot slot,
                   const Generation& generation,
                   WorkerState& state,
                   std::uint64_t now_ms);

}  // namespace holdfast::dataplane
