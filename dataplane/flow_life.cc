// SPDX-License-Identifier: Apache-2.0
// Counting and ending flows; the sweeper.
#include "dataplane/flow_life.h"

#include <algorithm>

namespace holdfast::dataplane {
namespace {

constexpr TimeoutSpec kOrphanTimeouts;
// A small table is gone through every 2 s, so that what ended is soon known; a large one at 200 000
// places a second, but never slower than a round in 30 s.
constexpr std::uint64_t kFastRoundMs = 2'000;
constexpr std::uint64_t kSlowRoundMs = 30'000;
constexpr std::uint64_t kVisitsPerMs = 200;
constexpr std::uint64_t kMaxVisits = 4096;

// How many of `total` places to visit after `elapsed_ms`.
std::size_t visits(std::size_t total, std::uint64_t elapsed_ms) {
  const std::uint64_t fast = std::min(total * elapsed_ms / kFastRoundMs, kVisitsPerMs * elapsed_ms);
  const std::uint64_t due = std::max(fast, total * elapsed_ms / kSlowRoundMs) + 1;
  return static_cast<std::size_t>(std::min<std::uint64_t>({due, total, kMaxVisits}));
}

template <typename Table>
void sweep_table(WorkerState& state,
                 Table& table,
                 std::size_t& position,
                 const Generation& generation,
                 std::uint64_t elapsed_ms,
                 Stamp now) {
  const std::size_t total = table.buckets().size();
  for (std::size_t left = visits(total, elapsed_ms); left > 0; --left) {
    for (auto& entry : table.buckets()[position].way) {
      if (entry.state != FlowState::kFree && expired(entry, generation, now)) {
        end_flow(state, table, entry);
      }
    }
    position = position + 1 == total ? 0 : position + 1;
  }
}

// Looks at the next record; true when it was over and has ended.
bool sweep_record(WorkerState& state, const Generation& generation, Stamp now) {
  NatTable& nat = state.tables.nat;
  std::size_t& at = state.sweep_position.nat;
  const auto index = static_cast<std::uint32_t>(at);
  at = at + 1 == nat.records().size() ? 0 : at + 1;
  const NatRecord& record = nat.record(index);
  if (record.state == FlowState::kFree || !expired(record, generation, now)) {
    return false;
  }
  end_nat_flow(state, generation, index);
  return true;
}

template <typename Table>
void count_table(WorkerState& state, Table& table) {
  for (const auto& bucket : table.buckets()) {
    for (const auto& entry : bucket.way) {
      if (entry.state != FlowState::kFree) {
        state.members[entry.member].live_flows.add(entry.state == FlowState::kAffinity ? 0 : 1);
        state.members[entry.member].entries.add(1);
        state.binding_entries[entry.binding].add(1);
      }
    }
  }
}

}  // namespace

const TimeoutSpec& timeouts_of(const Generation& generation, std::uint16_t binding) {
  const BindingForward* bound = generation.binding(binding);
  return bound == nullptr || bound->service == kNoService
             ? kOrphanTimeouts
             : generation.service(bound->service).timeouts;
}

std::uint16_t lifetime_of(FlowState state, const Generation& generation, std::uint16_t binding) {
  if (state != FlowState::kAffinity) [[likely]] {
    return timeout_of(state, timeouts_of(generation, binding));
  }
  const BindingForward* bound = generation.binding(binding);
  return bound == nullptr || bound->service == kNoService
             ? std::uint16_t{0}
             : generation.service(bound->service).affinity.seconds;
}

void count_record(WorkerState& state, MemberId member, std::uint16_t binding) {
  state.members[member.index].entries.add(1);
  state.binding_entries[binding].add(1);
}

void count_begin(WorkerState& state, MemberId member, std::uint16_t binding, std::uint64_t now_ms) {
  MemberStats& stats = state.members[member.index];
  stats.new_flows.add(1);
  stats.live_flows.add(1);
  stats.entries.add(1);
  stats.last_new_flow_ms.set(now_ms);
  state.binding_entries[binding].add(1);
  state.stats.flows_inserted.add(1);
}

void count_end(WorkerState& state, MemberId member) {
  state.members[member.index].live_flows.subtract(1);
  state.stats.flows_ended.add(1);
}

void count_gone(WorkerState& state, MemberId member, std::uint16_t binding) {
  state.members[member.index].entries.subtract(1);
  state.binding_entries[binding].subtract(1);
}

void detach_nat_flow(WorkerState& state, const Generation& generation, std::uint32_t index) {
  NatRecord& record = state.tables.nat.record(index);
  if (const auto key = client_key_of(state.tables.nat, index, generation); key) {
    state.tables.nat.forward().erase(generation.hasher()(*key), index);
  }
  record.detached = 1;
}

void give_up_nat_flow(WorkerState& state,
                      const Generation& generation,
                      std::uint32_t index,
                      Stamp now) {
  NatRecord& record = state.tables.nat.record(index);
  detach_nat_flow(state, generation, index);
  if (record.ended) {
    return;  // closed in order, or given up before: its quarantine goes on
  }
  if (record.state == FlowState::kHalfOpen) {
    state.tables.nat.end_half_open(index);
  }
  record.state = FlowState::kClosing;
  record.client_side = SideState::kReset;
  record.member_side = SideState::kReset;
  record.sequence_delta = {};
  record.stamp = now;
  record.ended = 1;
  count_end(state, {record.member, record.epoch});
}

void end_nat_flow(WorkerState& state, const Generation& generation, std::uint32_t index) {
  NatRecord& record = state.tables.nat.record(index);
  if (!record.detached) {
    detach_nat_flow(state, generation, index);
  }
  if (const std::optional<FlowKey> key = reply_key_of(record, generation); key) {
    state.tables.nat.reply().erase(generation.hasher()(*key), index);
  }
  if (!record.ended) {
    count_end(state, {record.member, record.epoch});
  }
  count_gone(state, {record.member, record.epoch}, record.binding);
  --state.binding_records[record.binding];
  state.tables.nat.give(index);
}

bool reclaim_nat_record(WorkerState& state, const Generation& generation, Stamp now) {
  WorkerState::Reclaim& reclaim = state.reclaim;
  if (reclaim.second != now || reclaim.generation != generation.number()) {
    reclaim = {.second = now,
               .generation = generation.number(),
               .visits_left = std::min(state.tables.nat.records().size(), kReclaimVisitsPerSecond)};
  }
  for (std::size_t left = std::min(reclaim.visits_left, kReclaimVisits); left > 0; --left) {
    --reclaim.visits_left;
    if (sweep_record(state, generation, now)) {
      return true;
    }
  }
  return false;
}

void WorkerState::count_adopted() {
  count_table(*this, tables.v4);
  count_table(*this, tables.v6);
  count_table(*this, tables.wide);
  for (const NatRecord& record : tables.nat.records()) {
    if (record.state != FlowState::kFree) {
      members[record.member].live_flows.add(record.ended ? 0 : 1);
      members[record.member].entries.add(1);
      binding_entries[record.binding].add(1);
      ++binding_records[record.binding];
    }
  }
}

void sweep(WorkerState& state, const Generation& generation, std::uint64_t now_ms) {
  state.fragments.expire(now_ms);
  state.resets.look(state.dispositions, generation, now_ms);
  ask_idle_flows(state, generation, now_ms);
  WorkerState::SweepPosition& at = state.sweep_position;
  if (at.last_ms == 0 || now_ms == at.last_ms) {
    at.last_ms = at.last_ms == 0 ? now_ms : at.last_ms;
    return;
  }
  const std::uint64_t elapsed = now_ms - at.last_ms;
  const Stamp now = stamp_of(now_ms);
  at.last_ms = now_ms;
  sweep_table(state, state.tables.v4, at.v4, generation, elapsed, now);
  sweep_table(state, state.tables.v6, at.v6, generation, elapsed, now);
  sweep_table(state, state.tables.wide, at.wide, generation, elapsed, now);
  const std::size_t total = state.tables.nat.records().size();
  for (std::size_t left = visits(total, elapsed); left > 0; --left) {
    sweep_record(state, generation, now);
  }
}

}  // namespace holdfast::dataplane
