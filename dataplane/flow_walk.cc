// SPDX-License-Identifier: Apache-2.0
// See flow_walk.h.
#include "dataplane/flow_walk.h"

#include "dataplane/flow_life.h"
#include "dataplane/registry.h"

#include <algorithm>

namespace holdfast::dataplane {
namespace {

class Step {
 public:
  Step(FlowWalk& walk, WorkerState& state, const Generation& generation, Stamp now)
      : walk_(walk), state_(state), generation_(generation), now_(now) {}

  // False: there is no such place.
  bool look_at(std::size_t place) {
    WorkerTables& tables = state_.tables;
    if (look_in(tables.v4, place) || look_in(tables.v6, place) || look_in(tables.wide, place)) {
      return true;
    }
    if (place >= tables.nat.records().size()) {
      return false;
    }
    look_at_record(static_cast<std::uint32_t>(place));
    return true;
  }

 private:
  // False: the place is not in this table, and is counted from its end on.
  template <typename Table>
  bool look_in(Table& table, std::size_t& place) {
    if (place >= table.buckets().size()) {
      place -= table.buckets().size();
      return false;
    }
    for (auto& entry : table.buckets()[place].way) {
      if (is_flow(entry.state) && !expired(entry, generation_, now_)) {
        look_at_entry(table, entry);
      }
    }
    return true;
  }

  template <typename Table, typename Entry>
  void look_at_entry(Table& table, Entry& entry) {
    const MemberId from{entry.member, entry.epoch};
    const WalkedMember* member = wanted(from);
    const std::optional<FlowKey> key =
        member == nullptr ? std::nullopt : client_key_of(entry, generation_);
    if (!key || !walk_.order.filter.matches(*key, entry.state)) {
      return;
    }
    count(*member, from);
    note({.key = *key,
          .member = from,
          .mode = generation_.member(from)->mode,
          .state = entry.state,
          .age_s = age_of(entry.stamp, now_),
          .translated = false,
          .pool = {},
          .pool_port = {}});
    if (!member->to || member->being_reset) {
      return;
    }
    if (forgets(*key)) {
      ++walk_.found.forgotten;
      end_flow(state_, table, entry);
      return;
    }
    count_given(from, *member->to);
    entry.member = member->to->index;
    entry.epoch = member->to->epoch;
  }

  void look_at_record(std::uint32_t index) {
    NatTable& nat = state_.tables.nat;
    NatRecord& record = nat.record(index);
    if (record.state == FlowState::kFree || record.ended != 0 || record.detached != 0 ||
        closed(record) || expired(record, generation_, now_)) {
      return;
    }
    const MemberId from{record.member, record.epoch};
    const WalkedMember* member = wanted(from);
    const std::optional<FlowKey> key =
        member == nullptr ? std::nullopt : client_key_of(nat, index, generation_);
    if (!key || !walk_.order.filter.matches(*key, record.state)) {
      return;
    }
    count(*member, from);
    note({.key = *key,
          .member = from,
          .mode = generation_.member(from)->mode,
          .state = record.state,
          .age_s = age_of(record.stamp, now_),
          .translated = true,
          .pool = record.pool,
          .pool_port = record.pool_port});
    if (!member->to || member->being_reset) {
      return;
    }
    if (forgets(*key)) {
      ++walk_.found.forgotten;
      give_up_nat_flow(state_, generation_, index, now_);
      return;
    }
    count_given(from, *member->to);
    record.member = member->to->index;
    record.epoch = member->to->epoch;
  }

  // nullptr: flows of that member are none of the walk's.
  [[nodiscard]] const WalkedMember* wanted(MemberId id) const {
    const WalkedMember& member = walk_.order.members[id.index];
    return member.wanted && member.epoch == id.epoch && generation_.member(id) != nullptr ? &member
                                                                                          : nullptr;
  }

  // A datagram's sender has nothing that a reset would end.
  [[nodiscard]] bool forgets(const FlowKey& key) const {
    return walk_.order.kind == WalkKind::kReset && key.protocol != Protocol::kTcp;
  }

  void count(const WalkedMember& member, MemberId id) {
    ++walk_.found.matched;
    if (member.being_reset) {
      ++walk_.found.being_reset;
    } else {
      ++walk_.found.by_member[id.index];
    }
  }

  void note(const FlowRow& row) {
    if (walk_.found.rows.size() < walk_.order.most_rows) {
      walk_.found.rows.push_back(row);  // within what was reserved
    }
  }

  void count_given(MemberId from, MemberId to) {
    ++walk_.found.given;
    MemberStats& before = state_.members[from.index];
    before.live_flows.subtract(1);
    before.entries.subtract(1);
    MemberStats& after = state_.members[to.index];
    after.live_flows.add(1);
    after.entries.add(1);
    if (walk_.order.kind == WalkKind::kMove) {
      constexpr auto kWhy = static_cast<std::size_t>(MoveCause::kOperator);
      state_.moves[from.index].moved[kWhy].add(1);
    }
  }

  FlowWalk& walk_;
  WorkerState& state_;
  const Generation& generation_;
  Stamp now_;
};

std::uint64_t displaced_in(const WorkerTables& tables) {
  return tables.v4.displaced() + tables.v6.displaced() + tables.wide.displaced();
}

// True: the pass that has come to its end was the last one.
bool is_last(FlowWalk& walk, const WorkerTables& tables) {
  const std::uint64_t displaced = displaced_in(tables);
  if (displaced == walk.displaced || ++walk.passes >= kMostPasses) {
    return true;
  }
  walk.displaced = displaced;
  walk.place = 0;
  if (walk.order.kind == WalkKind::kList) {  // else what is given stays so
    walk.found.matched = walk.found.being_reset = 0;
    walk.found.rows.clear();
    std::ranges::fill(walk.found.by_member, 0U);
  }
  return false;
}

}  // namespace

FlowWalk::FlowWalk(const FlowOrder& what) : order(what) {
  found.rows.resize(what.most_rows);  // touched now, not on the worker
  found.rows.clear();
  found.by_member.resize(kRegistryCapacity);
}

bool walk_some(FlowWalk& walk,
               WorkerState& state,
               const Generation& generation,
               std::uint64_t now_ms) {
  if (walk.order.cancelled.load(std::memory_order_acquire)) {
    return true;
  }
  if (walk.place == 0 && walk.passes == 0) {
    walk.displaced = displaced_in(state.tables);
  }
  Step step(walk, state, generation, stamp_of(now_ms));
  for (std::size_t left = kWalkPlaces; left > 0; --left) {
    if (!step.look_at(walk.place)) {
      return is_last(walk, state.tables);
    }
    ++walk.place;
  }
  return false;
}

}  // namespace holdfast::dataplane
