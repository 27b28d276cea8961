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
  Mover(const SharedState& state, const Generation& generation, Stamp now)
      : generation_(generation), now_(now) {
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

  template <typename Entry>
  [[nodiscard]] std::uint32_t owner_of_entry(const Entry& entry, std::uint64_t place) const {
    if (entry.state == FlowState::kAffinity) {
      return worker_of_hash(generation_.hasher()(prefix_key(entry.source_address())), workers());
    }
    return owner_of_client(*client_key_of(entry, generation_), place, generation_, workers());
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
    const FlowKey client = client_key_of(former, index, generation_).value_or(FlowKey{});
    const std::uint64_t hash = generation_.hasher()(client);
    const std::uint32_t owner = worker_of_pool_port(record.pool_port, workers());
    const bool parted =
        !record.detached && owner != owner_of_client(client, hash, generation_, workers());
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
  Stamp now_;
};

}  // namespace

RehashReport rehash_tables(const SharedState& former,
                           const SharedState& state,
                           const Generation& generation,
                           Stamp now) {
  Mover mover(state, generation, now);
  for (std::uint32_t worker = 0; worker < former.geometry().workers; ++worker) {
    WorkerTables tables = former.tables(worker);
    mover.report.dropped += validate_tables(tables, generation, state.dispositions()).dropped;
    mover.move(tables);
  }
  return mover.report;
}

}  // namespace holdfast::dataplane
