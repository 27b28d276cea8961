// SPDX-License-Identifier: Apache-2.0
// Moves the flows of a state of other sizes into the one in force: between two processes the worker
// count or `flows` changed. Every flow goes to the worker that owns it now (pipeline.h). Start-up
// only, on the main thread, before any worker runs. Pure.
#pragma once

#include "dataplane/generation.h"
#include "dataplane/state.h"

#include <cstdint>

namespace holdfast::dataplane {

// What became of the entries of the former state.
struct RehashReport {
  std::uint64_t moved = 0;
  std::uint64_t dropped = 0;  // failed the checks of validate_tables()
  // Translated flows whose replies come to another worker now than their client's packets: the pool
  // port lies in that one's block. They end, and keep their endpoint for the quarantine.
  std::uint64_t parted = 0;
  std::uint64_t crowded = 0;  // no room
};

// Checks the entries of `former` (validate_tables) and copies what stands. `now` is that of the
// workers' clock. Requires: the tables of `state` are empty, its registries those of `former`.
// Afterwards validate_tables() is still to be run on the tables of `state`.
RehashReport rehash_tables(const SharedState& former,
                           const SharedState& state,
                           const Generation& generation,
                           Stamp now);

}  // namespace holdfast::dataplane
