// SPDX-License-Identifier: Apache-2.0
// The packet's way, the table of contents. One call takes a burst from parsed headers to verdicts;
// the worker (process/), replay, trace, tests and fuzzers all call it the same way.
//
//   receive   frames -> burst                      (caller)
//   parse     headers            -> key            faults: truncated, bad_checksum, ...
//   dispatch  key -> owner worker                  (caller, by owner_of())
//   classify  VIP                -> service        drops: no_service, faults, ...; may hold
//   track     known flow         -> member         drops: no_nat_flow, member_reset
//   select    new flow: Maglev   -> member         drops: no_backend, nat_pool_exhausted, ...
//             (or TCP resets, of track and select)
//   (errors)  ICMP about a flow  -> member         drops: to_peer, icmp_rate_limited, ...
//   rewrite   headers toward member or client      drops: no_neighbour, ttl_expired, mtu, ...
//             (or answers that a packet is too big)
//   transmit  verdicts -> ports                    (caller)
//   release   held frames -> the next burst        (caller, by take_released())
#pragma once

#include "dataplane/burst.h"

#include <cstdint>
#include <span>
#include <vector>

namespace holdfast::dataplane {

class FlowHasher;
class Generation;
class Neighborhood;
class WorkerState;
struct NextHop;
struct Ownership;
struct WorkerStats;

// What one publication swaps in: immutable, read by every worker for a burst at a time.
struct Forwarding {
  const Generation* generation = nullptr;
  const Neighborhood* neighborhood = nullptr;
  std::span<const NextHop> member_hops;  // by registry index: the hop towards each member
  // False where frames come from a file: destination and source MACs are not judged.
  bool check_macs = true;
  // True of one of a pair that must not answer for addresses which the other one has.
  bool standby = false;
};

// The hop towards every member of the generation; its mtu is the lower one of the port's and the
// member's. Build it again when either of the two changes.
std::vector<NextHop> build_member_hops(const Generation& generation,
                                       const Neighborhood& neighborhood);

// Stage 2 for a burst whose frames are set and begun. Touches no table. See parse.h.
void parse(Burst& burst);

// Hashes the parsed keys, of fragments their datagram's name. The hash key is fixed for the life of
// the process.
void hash_keys(Burst& burst, const FlowHasher& hasher);

// The worker whose tables hold this slot's flow, or its datagram, if it is a fragment that has not
// been told its flow; `self` for frames without either.
// Requires: parse and hash_keys have run.
std::uint32_t owner_of(const Burst& burst,
                       Slot slot,
                       const Generation& generation,
                       std::uint32_t self,
                       const Ownership& ownership);

// The same for what a client sends to a VIP: the worker that keeps its source's affinity record,
// else the one whose queue a card brings it by, else one by `hash`, the key's.
std::uint32_t owner_of_client(const FlowKey& key,
                              std::uint64_t hash,
                              const Generation& generation,
                              const Ownership& ownership);
// The same for all of a source prefix that has an affinity record; `hash` is prefix_key()'s.
std::uint32_t worker_of_hash(std::uint64_t hash, std::uint32_t workers);

// Stages 3 to 6 on the live slots. Requires: parse and hash_keys have run. Afterwards every slot
// has a verdict, forwarded and replied frames carry their egress port in frame.port and their new
// length, and the counters of received frames and of verdicts are up to date (received, released,
// forwarded, replied, to_kernel, held, drops). `now_ms` is a monotonic clock. Held frames stay the
// caller's; those that state.fragments.take_released() gives back are to make another burst, begun,
// parsed and hashed as any, until it gives no more.
void run_stages(Burst& burst,
                const Forwarding& forwarding,
                WorkerState& state,
                std::uint64_t now_ms);

// P5: how far the two sums of stats.h are from equal, added up; 0 between bursts.
std::uint64_t unaccounted(const WorkerStats& stats);

}  // namespace holdfast::dataplane
