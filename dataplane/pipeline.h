// SPDX-License-Identifier: Apache-2.0
// The packet's way, the table of contents. One call takes a burst from parsed headers to verdicts;
// the worker (process/), replay, trace, tests and fuzzers all call it the same way.
//
//   receive   frames -> burst                      (caller)
//   parse     headers            -> key            faults: truncated, bad_checksum, ...
//   dispatch  key -> owner worker                  (caller, by owner_of())
//   classify  VIP                -> service        drops: no_service, faults
//   track     known flow         -> member
//   select    new flow: Maglev   -> member         drops: no_backend, nat_pool_exhausted
//   rewrite   headers toward member or client      drops: no_neighbour, ttl_expired, mtu
//   transmit  verdicts -> ports                    (caller)
#pragma once

#include <cstdint>

#include "dataplane/burst.h"

namespace holdfast::dataplane {

class Generation;
class Neighborhood;
class WorkerState;

// What one publication swaps in: immutable, read by every worker for a burst at a time.
struct Forwarding {
  const Generation* generation = nullptr;
  const Neighborhood* neighborhood = nullptr;
};

// Stages 2 (parse) for a burst whose frames are set and begun. Touches no table.
void parse(Burst& burst);

// The worker whose tables hold this slot's flow. Requires: parse(burst) has run.
std::uint32_t owner_of(const Burst& burst, Slot slot, const Forwarding& forwarding,
                       std::uint32_t workers);

// Stages 3 to 6 on the live slots; afterwards every slot has a verdict, and forwarded and replied
// frames carry their egress port in frame.port. `now_ms` is a monotonic clock.
void run_stages(Burst& burst, const Forwarding& forwarding, WorkerState& state,
                std::uint64_t now_ms);

}  // namespace holdfast::dataplane
