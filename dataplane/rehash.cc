// SPDX-License-Identifier: Apache-2.0
// See rehash.h.
#include "dataplane/rehash.h"

#include "dataplane/flow_keys.h"
#include "dataplane/pipeline.h"

#include <vector>

namespace holdfast::dataplane {
namespace {

class Mover {
 public:
  Mover(const SharedState& state,
        const Generation& generation,
        const Ownership& ownership,
        Stamp now)
      : generation_(generation), ownership_(ownership), now_(now) {
    for (std::uint32_t worker = 0; worker < state.geometry().workers; ++worker) {
      to_.push_back(state.tables(worker));
    }
  }

  void move(const WorkerTables& former) {
    move_flows(former.v4, &WorkerTables::v4);
    move_flows(former.v6, &WorkerTables::v6);
    move_flows(former.wide, &WorkerTables::wide);
    for (std::size_t i = 0; i < former.nat.records().size(); ++i) {
      if (former.nat.records()[i].state != FlowState::kFree) {
        move_record(former.nat, static_cast<std::uint32_t>(i));
      }
    }
  }

  // What fails the checks is dropped.
  void validate(const DispositionTable& dispositions) {
    for (WorkerTables& tables : to_) {
      report.dropped += validate_tables(tables, generation_, dispositions).dropped;
    }
  }

  // Between the workers' tables.
  void reown() {
    for (std::uint32_t worker = 0; worker < workers(); ++worker) {
      give_away(worker, &WorkerTables::v4);
      give_away(worker, &WorkerTables::v6);
      give_away(worker, &WorkerTables::wide);
      const NatTable& nat = to_[worker].nat;
      for (std::size_t i = 0; i < nat.records().size(); ++i) {
        NatRecord& record = nat.records()[i];
        if (record.state != FlowState::kFree &&
            is_parted(nat, static_cast<std::uint32_t>(i), worker)) {
          part(record);
          ++report.parted;
        }
      }
    }
  }

  RehashReport report;

 private:
  [[nodiscard]] std::uint32_t workers() const { return static_cast<std::uint32_t>(to_.size()); }

  template <typename Table>
  void move_flows(const Table& former, Table WorkerTables::* table) {
    for (const auto& bucket : former.buckets()) {
      for (const auto& entry : bucket.way) {
        if (entry.state != FlowState::kFree) {
          const std::uint64_t place = *place_of_entry(entry, generation_);
          put(to_[owner_of_entry(entry, place)].*table, place, entry);
        }
      }
    }
  }

  template <typename Table>
  void give_away(std::uint32_t worker, Table WorkerTables::* table) {
    Table& from = to_[worker].*table;
    for (auto& bucket : from.buckets()) {
      for (auto& entry : bucket.way) {
        if (entry.state == FlowState::kFree) {
          continue;
        }
        const std::uint64_t place = *place_of_entry(entry, generation_);
        const std::uint32_t owner = owner_of_entry(entry, place);
        if (owner != worker) {
          const auto moving = entry;
          from.set_state(entry, FlowState::kFree);
          put(to_[owner].*table, place, moving);
        }
      }
    }
  }

  template <typename Entry>
  [[nodiscard]] std::uint32_t owner_of_entry(const Entry& entry, std::uint64_t place) const {
    if (entry.state == FlowState::kAffinity) {
      return worker_of_hash(generation_.hasher()(prefix_key(entry.source_address())), workers());
    }
    return owner_of_client(*client_key_of(entry, generation_), place, generation_, ownership_);
  }

  template <typename Table, typename Entry>
  void put(Table& table, std::uint64_t place, const Entry& entry) {
    Entry* const free = table.make_room(
        place,
        entry.state,
        [&](const Entry& resident) { return place_of_entry(resident, generation_).value_or(0); },
        [](const Entry&) { return false; },
        [&](const Entry&) {
          --report.moved;
          ++report.crowded;
        });
    if (free == nullptr) {
      ++report.crowded;
      return;
    }
    *free = entry;
    free->state = FlowState::kFree;
    table.set_state(*free, entry.state);
    ++report.moved;
  }

  void move_record(const NatTable& former, std::uint32_t index) {
    NatRecord record = former.record(index);
    const std::uint32_t owner = worker_of_pool_port(record.pool_port, workers());
    const bool parted = is_parted(former, index, owner);
    if (parted) {
      part(record);
    }
    NatTable& nat = to_[owner].nat;
    const std::uint32_t place = nat.take();
    if (place == kNoRecord) {
      ++report.crowded;
      return;
    }
    nat.record(place) = record;
    nat.vip(place) = former.vip(index);
    ++(parted ? report.parted : report.moved);
  }

  // Whether its client's packets do not come to the worker that its replies come to.
  [[nodiscard]] bool is_parted(const NatTable& nat,
                               std::uint32_t index,
                               std::uint32_t owner) const {
    const FlowKey client = client_key_of(nat, index, generation_).value_or(FlowKey{});
    const std::uint64_t hash = generation_.hasher()(client);
    return !nat.record(index).detached &&
           owner != owner_of_client(client, hash, generation_, ownership_);
  }

  // As if both sides had reset it now; what is over goes on with its quarantine.
  void part(NatRecord& record) const {
    record.detached = 1;
    if (record.ended == 0) {
      record.state = FlowState::kClosing;
      record.client_side = SideState::kReset;
      record.member_side = SideState::kReset;
      record.sequence_delta = {};
      record.stamp = now_;
      record.ended = 1;
    }
  }

  std::vector<WorkerTables> to_;
  const Generation& generation_;
  const Ownership ownership_;
  Stamp now_;
};

}  // namespace

RehashReport rehash_tables(const SharedState& former,
                           const SharedState& state,
                           const Generation& generation,
                           const Ownership& ownership,
                           Stamp now) {
  Mover mover(state, generation, ownership, now);
  for (std::uint32_t worker = 0; worker < former.geometry().workers; ++worker) {
    WorkerTables tables = former.tables(worker);
    mover.report.dropped += validate_tables(tables, generation, state.dispositions()).dropped;
    mover.move(tables);
  }
  return mover.report;
}

RehashReport reown_tables(const SharedState& state,
                          const Generation& generation,
                          const Ownership& ownership,
                          Stamp now) {
  Mover mover(state, generation, ownership, now);
  mover.validate(state.dispositions());
  mover.reown();
  return mover.report;
}

}  // namespace holdfast::dataplane
