// SPDX-License-Identifier: Apache-2.0
// Part of stage 3 (classify): fragments, without reassembly. Called for a fragment that is for an
// address of ours, on the worker that keeps its datagram.
//   reads: frame, key, piece, fragment, fault, hash    writes: kind, key, tcp_flags, hash
//   drops: kFragmentOverlap, kFragmentTooMany, kFragmentBufferFull, fault[i]   may hold
//
// The first fragment has the ports and goes the way of any packet; those that follow get its key
// and its flags from the datagram (fragment_table.h), and with them the way of its flow: they renew
// the flow's stamp, and neither begin a flow nor change a flow's state. Those that come before it
// wait. When it comes, or when waiting is over, they are released with a note, and pass parse and
// classify again, behind what the burst still brings. Where another worker owns the flow, first and
// later fragments are held and released at once, so that they reach it with their note, in order.
//
// A fault condemns its datagram (RFC 5722): what waits and what follows is dropped as it was,
// for kDatagramMs. Faults are those that parse finds behind the fragment's own fields, and:
//   kFragmentOverlap   some of the bytes came before, or an end contradicts another (RFC 5722)
//   kFragmentTooMany   the datagram would have more than kMostPieces
// A fragment of which all bytes came before is dropped as kFragmentOverlap by itself: it may be a
// duplicate (RFC 8200 §4.5). kFragmentBufferFull condemns nobody.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/fragment_table.h"
#include "dataplane/hash.h"

#include <cstdint>

namespace holdfast::dataplane {

class Generation;
class WorkerState;

// Requires: piece[slot] is not kWhole; the key holds what stands in the packet.
DatagramName datagram_name(const Burst& burst, Slot slot);
std::uint64_t datagram_hash(const DatagramName& name, const FlowHasher& hasher);

// True: the slot is kTransport now. False: it has a verdict. Requires: kind[slot] is kFragment.
bool take_fragment(Burst& burst,
                   Slot slot,
                   const Generation& generation,
                   WorkerState& state,
                   std::uint64_t now_ms);

}  // namespace holdfast::dataplane
