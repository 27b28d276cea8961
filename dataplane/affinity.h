// SPDX-License-Identifier: Apache-2.0
// Source-address affinity: while it is remembered, a new flow from a source prefix goes to the
// member of its service that the newest one before went to, whichever of the service's VIPs and
// ports it asks for, as long as that member takes new flows; of whatever tier it is. Otherwise a
// member is chosen anew, by the source prefix alone, and remembered anew. A record is made or
// renewed when a flow has shown itself, with the packet that makes it kEstablished or kUdp: a
// forged SYN or datagram writes nothing. So the time counts from the newest flow, and flows that
// begin before the first one has shown itself go where the prefix leads them all.
//
// A record is an entry of the flow tables of single VIPs: the masked source, no ports (no flow has
// port 0), the registry's record of the service for a binding, state kAffinity. So it outlives
// reloads and restarts, is swept like a flow and keeps its member's index from being used again; it
// is no live flow, and a drain does not wait for it. Records take at most a quarter of a table and
// push out nothing; without room the choice by the source prefix holds as far as the tables do.
//
// All flows of a source prefix have one owner worker, which therefore sees every one of them.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/choose.h"
#include "dataplane/generation.h"
#include "dataplane/worker_state.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace holdfast::dataplane {

// prefix_key() of the source's prefix.
FlowKey affinity_key(const AffinitySpec& affinity, const Address& source);

// The member on record for the packet's source. For a new flow (a SYN, or anything but TCP) it must
// take new flows; for a packet in the middle of one it need only keep what it has. nullopt: none,
// or not any more. Requires: the slot's service has affinity.
std::optional<Choice> choose_by_affinity(
    const Burst& burst, Slot slot, const Generation& generation, WorkerState& state, Stamp now);

// Records that a flow of this client has shown itself at `member`; unless that is one which the
// service has no new flows for (retired, of weight 0, of another mode). May move entries and take
// away those that are over. Requires: the service has affinity.
void remember_affinity(const Address& client,
                       const CompiledService& service,
                       MemberId member,
                       const Generation& generation,
                       WorkerState& state,
                       Stamp now);

// The services of both whose flows would have other owners under the specification than under the
// generation, because affinity begins, ends or counts other bits. With several workers such a
// change parts flows from their entries.
std::vector<std::string_view> services_with_moved_owners(const Generation& generation,
                                                         const GenerationSpec& spec);

}  // namespace holdfast::dataplane
