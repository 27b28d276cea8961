// SPDX-License-Identifier: Apache-2.0
// Stage 5 of 7: select. Gives each packet without an entry a member, and the flow an entry.
//   reads: frame, key, hash, tcp_flags, piece, service, binding, prefixed, known
//   writes: member, record, chosen_slot; frame, kReply (resets)
//   drops: kVipSource, kNoBackend, kNoFlow, kNatPoolExhausted, kNatTableFull,
//          kTtlExpired (nat)
// Where an earlier frame of the burst has opened the flow, it does as track does.
// A full flow table leaves the flow to the hash. In `nat` a TCP packet of an unknown flow that is
// no SYN is answered with a reset, since no member could place it. A later fragment goes where its
// first one went without an entry, and never gets one; in `nat` it is dropped as kNoFlow.
#pragma once

#include "dataplane/choose.h"
#include "dataplane/pipeline.h"

#include <cstdint>
#include <optional>

namespace holdfast::dataplane {

// What is known of a packet without an entry.
enum class Standing : std::uint8_t {
  kBegins,    // it begins its flow, or its SYN found no entry: the table now in force counts
  kMiddle,    // it is in the middle of its flow: see choose_for_unknown()
  kNewTable,  // likewise, but its SYN did not follow the previous table
};

// The member for a packet without an entry: the one on record for its source, else by the tables.
// nullopt: none. A member of the previous table that may be of another mode, and not know what to
// do with the packet, is passed over. Requires: the slot is for a service.
std::optional<Choice> choose_for_packet(const Burst& burst,
                                        Slot slot,
                                        Standing standing,
                                        const Generation& generation,
                                        WorkerState& state,
                                        std::uint64_t now_ms);

void select(Burst& burst, const Generation& generation, WorkerState& state, std::uint64_t now_ms);

}  // namespace holdfast::dataplane
