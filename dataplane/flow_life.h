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

// How long an entry in that state lives without being renewed, in seconds. An affinity record's is
// 0 once its service has no affinity.
std::uint16_t lifetime_of(FlowState state, const Generation& generation, std::uint16_t binding);

// Counts a new entry for a member.
void count_begin(WorkerState& state, MemberId member, std::uint16_t binding, std::uint64_t now_ms);
// Counts a new affinity record that names a member: an entry, but no flow.
void count_record(WorkerState& state, MemberId member, std::uint16_t binding);
// Counts the end of a flow, and that its entry is gone: a closed `nat` flow ends before its record.
void count_end(WorkerState& state, MemberId member);
void count_gone(WorkerState& state, MemberId member, std::uint16_t binding);

inline std::uint16_t lifetime_of(const NatRecord& record, const Generation& generation) {
  return lifetime_of(record, timeouts_of(generation, record.binding));
}
template <typename Entry>
std::uint16_t lifetime_of(const Entry& entry, const Generation& generation) {
  return lifetime_of(entry.state, generation, entry.binding);
}

// Whether an entry or a record has outlived its time. What was renewed in this second has not,
// whatever its time is: most packets of a busy flow need not ask for it.
template <typename Entry>
bool expired(const Entry& entry, const Generation& generation, Stamp now) {
  const std::uint16_t age = age_of(entry.stamp, now);
  return age != 0 && age > lifetime_of(entry, generation);
}

// Counts what the end of an entry, whatever it is of, brings.
template <typename Entry>
void count_entry_gone(WorkerState& state, const Entry& entry) {
  const MemberId member{entry.member, entry.epoch};
  if (entry.state != FlowState::kAffinity) {
    count_end(state, member);
  }
  count_gone(state, member, entry.binding);
}

template <typename Table, typename Entry>
void end_flow(WorkerState& state, Table& table, Entry& entry) {
  count_entry_gone(state, entry);
  table.clear(entry);
}

// A free place for an entry that is to be in state `first`, as FlowTable::make_room().
template <typename Table>
auto* make_room(WorkerState& state,
                Table& table,
                std::uint64_t hash,
                FlowState first,
                const Generation& generation,
                Stamp now) {
  return table.make_room(
      hash,
      first,
      [&](const auto& resident) { return place_of_entry(resident, generation).value_or(0); },
      [&](const auto& resident) { return expired(resident, generation, now); },
      [&](const auto& resident) { count_entry_gone(state, resident); });
}

// Records that a new flow which finds none free looks at, and that all of them do in a second.
inline constexpr std::size_t kReclaimVisits = 64;
inline constexpr std::size_t kReclaimVisitsPerSecond = 1'000'000;

// Goes on with the sweep of records until one has ended; false when none was over among those that
// may be visited. At most kReclaimVisits; in a second no more than there are records, since what
// was not over when it was looked at is not over before the next one; and kReclaimVisitsPerSecond
// at most, so that a flood of new flows costs a full table about 5 ms a second.
bool reclaim_nat_record(WorkerState& state, const Generation& generation, Stamp now);

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
