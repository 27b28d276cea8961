// SPDX-License-Identifier: Apache-2.0
// See counters.h.
#include "dataplane/process/counters.h"

#include "dataplane/api/codec.h"
#include "dataplane/drop.h"
#include "dataplane/pipeline.h"
#include "dataplane/process/clock.h"
#include "dataplane/registry_keys.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <unordered_map>

#include <fmt/format.h>
#include <rte_mempool.h>

namespace holdfast::dataplane {
namespace {

// A worker comes round within 1 ms; the rest is the scheduler's.
constexpr std::chrono::milliseconds kSnapshotLimit{20};

template <typename Values>
void add(Values* values, std::string_view name, std::uint64_t value) {
  seam::NamedValue* named = values->Add();
  named->set_name(std::string(name));
  named->set_value(value);
}

void take_snapshots(std::span<const std::unique_ptr<Worker>> workers) {
  for (const auto& worker : workers) {
    worker->request_snapshot();
  }
  const auto deadline = std::chrono::steady_clock::now() + kSnapshotLimit;
  const auto missing = [&] {
    return std::ranges::any_of(workers,
                               [](const auto& worker) { return !worker->snapshot_ready(); });
  };
  while (missing() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

}  // namespace

void to_wire(const MemberRecord& record, seam::MemberRef& out) {
  out.set_service(std::string(record.service.view()));
  out.set_backend(std::string(record.backend.view()));
  out.set_address(seam::to_wire(record.address));
  out.set_port(record.port);
}

Counters::Counters(const WorkerSurroundings& surroundings,
                   std::span<const std::unique_ptr<Worker>> workers,
                   const Publisher& publisher,
                   std::size_t state_bytes)
    : surroundings_(surroundings),
      workers_(workers),
      publisher_(publisher),
      state_bytes_(state_bytes),
      link_losses_(surroundings.ports.size()),
      moves_(workers, publisher.members().records()),
      bases_(kRegistryCapacity),
      busy_(workers.size(), Busy{.at_ns = monotonic_ns()}) {
  members_changed();
}

void Counters::members_changed() {
  moves_.members_changed();
  const std::span<const MemberRecord> records = publisher_.members().records();
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (bases_[i].epoch == records[i].epoch) {
      continue;
    }
    const auto index = static_cast<std::uint16_t>(i);
    if (const std::optional<MemberId> original = bases_[i].original;
        original && bases_[original->index].epoch == original->epoch) {
      const MemberValues counted = counted_of(index);
      MemberValues& base = bases_[original->index].values;
      for (std::size_t value = 0; value < base.size(); ++value) {
        base[value] -= counted[value];  // its sum does not fall
      }
    }
    bases_[i] = {.epoch = records[i].epoch, .values = values_of(index), .original = std::nullopt};
  }
  note_copies();
}

// A turn counts when it is over: one that began in the span before may make it more than whole.
void Counters::sample_busy(std::uint64_t now_ns) {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const std::uint64_t busy_ns = workers_[i]->state().stats.busy_ns.get();
    const auto span = static_cast<double>(now_ns - busy_[i].at_ns);
    const double ratio = static_cast<double>(busy_ns - busy_[i].busy_ns) / std::max(span, 1.0);
    busy_[i] = {.at_ns = now_ns, .busy_ns = busy_ns, .ratio = std::min(ratio, 1.0)};
  }
}

void Counters::read(bool with_members, seam::GetCountersReply& reply) {
  take_snapshots(workers_);
  for (const auto& worker : workers_) {
    read_worker(*worker, *reply.add_workers());
  }
  for (const auto& port : surroundings_.ports) {
    read_port(*port, *reply.add_ports());
  }
  const std::span<const MemberRecord> records = publisher_.members().records();
  for (std::size_t i = 0; with_members && i < records.size(); ++i) {
    if (is_meant(records[i])) {
      read_member(static_cast<std::uint16_t>(i), *reply.add_members());
    }
  }
  if (with_members) {
    add_copies(reply);
    moves_.read(reply);
  }
  reply.set_generation(publisher_.acknowledged());
  reply.set_mbufs_available(rte_mempool_avail_count(surroundings_.pool));
  reply.set_mbufs_total(surroundings_.pool->size);
  reply.set_state_bytes(state_bytes_);
  reply.set_guard_losses(guard_losses_);
  reply.set_role(static_cast<std::uint32_t>(publisher_.role()));
  if (routes_ != nullptr) {
    reply.mutable_routes()->set_routes(static_cast<std::uint32_t>(routes_->size()));
    reply.mutable_routes()->set_discarded(routes_->discarded());
  }
}

void Counters::read_worker(Worker& worker, seam::WorkerCounters& out) const {
  const WorkerState& state = worker.state();
  const WorkerStats& stats = worker.snapshot_ready() ? worker.snapshot() : state.stats;
  out.set_worker(state.worker);
  for (const auto& row : kWorkerRows) {
    add(out.mutable_values(), row.name, (stats.*row.counter).get());
  }
  for (std::size_t i = 0; i < kDropCount; ++i) {
    add(out.mutable_drops(), kDropNames[i], stats.drops[i].get());
  }
  for (std::size_t i = 0; i < kGeneratedCount; ++i) {
    add(out.mutable_generated(), kGeneratedNames[i], stats.generated[i].get());
  }
  out.set_flows_v4(state.tables.v4.used() - state.tables.v4.affinities());
  out.set_flows_v6(state.tables.v6.used() - state.tables.v6.affinities());
  out.set_flows_prefix_v6(state.tables.wide.used());
  out.set_flows_nat(state.tables.nat.used());
  out.set_capacity_v4(state.tables.v4.capacity());
  out.set_capacity_v6(state.tables.v6.capacity());
  out.set_capacity_prefix_v6(state.tables.wide.capacity());
  out.set_affinity_v4(state.tables.v4.affinities());
  out.set_affinity_v6(state.tables.v6.affinities());
  out.set_capacity_nat(state.tables.nat.records().size());
  out.set_unaccounted(static_cast<std::int64_t>(unaccounted(stats)));
  out.set_busy_ratio(busy_[state.worker].ratio);
  const std::uint64_t ticked = worker.last_tick_ns();
  const std::uint64_t now = monotonic_ns();
  out.set_silent_s(ticked == 0 || now < ticked ? 0 : static_cast<double>(now - ticked) / 1e9);
}

void Counters::read_port(Port& port, seam::PortCounters& out) const {
  const PortCounters counters = port.counters();
  out.set_name(port.spec().name);
  out.set_link_up(counters.link_up);
  add(out.mutable_values(), "link_losses", link_losses_[port.link().port]);
  add(out.mutable_values(), "received", counters.received);
  add(out.mutable_values(), "received_bytes", counters.received_bytes);
  add(out.mutable_values(), "missed", counters.missed);
  add(out.mutable_values(), "no_buffer", counters.no_buffer);
  add(out.mutable_values(), "receive_errors", counters.receive_errors);
  add(out.mutable_values(), "transmitted", counters.transmitted);
  add(out.mutable_values(), "transmitted_bytes", counters.transmitted_bytes);
  add(out.mutable_values(), "transmit_errors", counters.transmit_errors);
  if (const Bond* bond = port.bond(); bond != nullptr) {
    for (const Bond::LinkState& link : bond->links()) {
      add(out.mutable_values(), "link_up_" + link.name, link.can_carry ? 1 : 0);
    }
  }
  if (const Twin* twin = port.twin(); twin != nullptr) {
    add(out.mutable_values(), "kernel_received", twin->delivered());
    add(out.mutable_values(), "kernel_transmitted", twin->collected());
    for (std::size_t i = 0; i < kKernelClasses; ++i) {
      const auto kind = static_cast<KernelClass>(i);
      add(out.mutable_values(),
          fmt::format("kernel_dropped_{}", kKernelClassNames[i]),
          twin->dropped(kind));
    }
  }
}

Counters::MemberValues Counters::values_of(std::uint16_t index) const {
  MemberValues values{};
  for (const auto& worker : workers_) {
    const MemberStats& stats = worker->state().members[index];
    for (std::size_t i = 0; i < kMemberRows.size(); ++i) {
      values[i] += (stats.*kMemberRows[i].counter).get();
    }
    values.back() += worker->state().refusals[index].get();
  }
  return values;
}

// What a copy has counted is its member's.
void Counters::note_copies() {
  const std::span<const MemberRecord> records = publisher_.members().records();
  const auto is_new = [&](std::size_t i) {
    return records[i].state != RegistryState::kFree && records[i].copy != 0 && !bases_[i].original;
  };
  std::optional<std::unordered_map<MemberKey, std::uint16_t, KeyHash>> known;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (!is_new(i)) {
      continue;
    }
    if (!known) {
      known = index_of<MemberKey>(records);
    }
    if (const auto found = known->find(key_of(records[i])); found != known->end()) {
      bases_[i].original = {.index = found->second, .epoch = records[found->second].epoch};
    }
  }
}

// Of a copy whose member is gone there is a row of its own.
void Counters::add_copies(seam::GetCountersReply& reply) const {
  const std::span<const MemberRecord> records = publisher_.members().records();
  std::vector<int> rows(records.size(), -1);
  int row = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    rows[i] = is_meant(records[i]) ? row++ : -1;
  }
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto index = static_cast<std::uint16_t>(i);
    const std::optional<MemberId> original = bases_[i].original;
    const bool in_use = records[i].state != RegistryState::kFree;
    if (original && records[original->index].epoch == original->epoch &&
        rows[original->index] >= 0) {
      const MemberValues more = counted_of(index);
      seam::MemberCounters& sum = *reply.mutable_members(rows[original->index]);
      sum.set_flows(sum.flows() + (in_use ? publisher_.flows_of(index) : 0));
      for (int value = 0; value < sum.values_size(); ++value) {
        seam::NamedValue& named = *sum.mutable_values(value);
        named.set_value(named.value() + more[static_cast<std::size_t>(value)]);
      }
    } else if (in_use && records[i].copy != 0) {
      read_member(index, *reply.add_members());
    }
  }
}

Counters::MemberValues Counters::counted_of(std::uint16_t index) const {
  MemberValues values = values_of(index);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] -= bases_[index].values[i];
  }
  return values;
}

void Counters::read_member(std::uint16_t index, seam::MemberCounters& out) const {
  const MemberRecord& record = publisher_.members().records()[index];
  const MemberValues values = counted_of(index);
  to_wire(record, *out.mutable_ref());
  for (std::size_t i = 0; i < kMemberRows.size(); ++i) {
    add(out.mutable_values(), kMemberRows[i].name, values[i]);
  }
  add(out.mutable_values(), "refusals", values.back());
  std::uint64_t newest_ms = 0;
  for (const auto& worker : workers_) {
    newest_ms = std::max(newest_ms, worker->state().members[index].last_new_flow_ms.get());
  }
  if (newest_ms != 0 && values[0] != 0) {
    const std::uint64_t now = monotonic_ns();
    const std::uint64_t age_ns = now - std::min(now, newest_ms * 1'000'000);
    out.set_last_new_flow_ns(realtime_ns() - age_ns);
  }
  const MemberId id{index, record.epoch};
  out.set_flows(publisher_.flows_of(index));
  out.set_disposition(static_cast<std::uint32_t>(publisher_.dispositions().get(id)));
  out.set_retired(record.state == RegistryState::kRetired);
  const std::span<const NextHop> hops = publisher_.member_hops();
  out.set_next_hop_resolved(index < hops.size() && hops[index].state == NextHop::State::kResolved);
}

}  // namespace holdfast::dataplane
