// SPDX-License-Identifier: Apache-2.0
// Moves the flows of a state of other sizes into the one in force, or between the workers of one
// state: between two processes the worker count, `flows` or the rule by which workers own flows
// changed. Every flow goes to the worker that owns it now (pipeline.h). Start-up only, on the main
// thread, before any worker runs. Pure.
#pragma once

#include "dataplane/generation.h"
#include "dataplane/receive_spread.h"
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
// workers' clock. Requires: the tables of `state` are empty, its registries those of `former`;
// `ownership` is of its workers. Afterwards validate_tables() is still to be run on the tables of
// `state`.
RehashReport rehash_tables(const SharedState& former,
                           const SharedState& state,
                           const Generation& generation,
                           const Ownership& ownership,
                           Stamp now);

// The same within one state, for flows that stand where another rule has put them; `moved` are
// those that change their worker. A process that ends in the middle leaves what can be gone on
// with.
RehashReport reown_tables(const SharedState& state,
                          const Generation& generation,
                          const Ownership& ownership,
                          Stamp now);

}  // namespace holdfast::dataplane
