// SPDX-License-Identifier: Apache-2.0
// The beginning and the end of flows in a worker's tables, with the counters that belong to them.
// Used by track, select and sweep; on the worker that owns the tables.
#pragma once

#include "dataplane/flow_keys.h"
#include "dataplane/worker_state.h"

#include <cstdint>

namespace holdfast::dataplane {

// The timeouts of the service a binding belongs to; the defaults once that service is gone.
const TimeoutSpec& timeouts_of(const Generation& generation, std::uint16_t binding);

// Counts a new entry for a member.
void count_begin(WorkerState& state, MemberId member, std::uint16_t binding, std::uint64_t now_ms);
// Counts the end of a flow, and that its entry is gone: a closed `nat` flow ends before its record.
void count_end(WorkerState& state, MemberId member);
void count_gone(WorkerState& state, MemberId member, std::uint16_t binding);

template <typename Entry>
bool expired(const Entry& entry, const Generation& generation, Stamp now) {
  return age_of(entry.stamp, now) > timeout_of(entry.state, timeouts_of(generation, entry.binding));
}

bool expired(const NatRecord& record, const Generation& generation, Stamp now);

template <typename Table, typename Entry>
void end_flow(WorkerState& state, Table& table, Entry& entry) {
  count_end(state, {entry.member, entry.epoch});
  count_gone(state, {entry.member, entry.epoch}, entry.binding);
  table.clear(entry);
}

// Takes a record out of both indexes and frees it.
void end_nat_flow(WorkerState& state, const Generation& generation, std::uint32_t index);

// The client's 5-tuple serves a newer flow: the record is found by replies only from now on.
void detach_nat_flow(WorkerState& state, const Generation& generation, std::uint32_t index);

// Ends a flow whose member is reset or down: detaches it and, unless it has ended before, closes it
// as if both sides had reset it now. Its record keeps the endpoint for the quarantine.
void give_up_nat_flow(WorkerState& state,
                      const Generation& generation,
                      std::uint32_t index,
                      Stamp now);

}  // namespace holdfast::dataplane
