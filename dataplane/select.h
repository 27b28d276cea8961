// SPDX-License-Identifier: Apache-2.0
// Stage 5 of 7: select. Gives each packet without an entry a member, and the flow an entry.
//   reads: key, hash, service, binding, known    writes: member, flow, chosen_slot
//   drops: kVipSource, kNoBackend, kNoFlow, kNatPoolExhausted, kNatTableFull,
//          kTtlExpired (nat)
// A full flow table leaves the flow to the hash. In `nat` a TCP packet of an unknown flow that is
// no SYN is answered with a reset, since no member could place it. A later fragment goes where its
// first one went without an entry, and never gets one; in `nat` it is dropped as kNoFlow.
#pragma once

#include "dataplane/pipeline.h"

#include <cstdint>

namespace holdfast::dataplane {

void select(Burst& burst, const Generation& generation, WorkerState& state, std::uint64_t now_ms);

}  // namespace holdfast::dataplane
