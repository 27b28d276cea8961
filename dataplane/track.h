// SPDX-License-Identifier: Apache-2.0
// Stage 4 of 7: track. Finds the member of a known flow.
//   reads: frame (of TCP), key, hash, tcp_flags, piece, service, binding, prefixed, direction
//   writes: known, member, record, binding (of replies), left; frame, kReply (resets)
//   drops: kNoNatFlow, kMemberReset
// Runs in phases over the burst (prefetch all, then look up all), because a lookup that misses the
// cache costs more than everything else together. A flow that began under another mode of its
// service goes on in that mode.
//
// A SYN (without ACK) makes the flow new again when its member is to be reset; when its member is
// not kNew and the flow is not established; when its member is kAvoid or one of those from which
// flows go elsewhere, whatever the entry is; and in `nat` whenever the member has closed or reset,
// while a record that the client alone has closed counts as established. Except that without
// translation a flow of a kKeep member that is not half-open must have been silent for 5 s: a SYN
// that is forged takes no flow that is in use. A flow whose member is to be reset is answered with
// a reset, but for a SYN and UDP, which choose again; a TCP flow has its turn some time after the
// member's first (reset_spread.h), until then it goes on. A flow of a kRehash member chooses again
// with its next packet, whatever that is; a translated TCP flow, which nobody else can go on with,
// is answered with a reset then. Of a kRehashDatagrams member only UDP does.
//
// What a member answers to another SYN than that of the half-open record's client
// (answers_another() in nat_table.h) is dropped as kNoNatFlow and changes nothing.
//
// The states of an entry of the modes without translation: next_state() in flow_state.h. For
// records see advance_handshake() and advance_tcp(). The packet that shows a flow also makes or
// renews its source's affinity record. A later fragment renews the stamp and changes nothing else;
// where its flow is reset it is dropped as kMemberReset.
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
