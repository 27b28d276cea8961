// SPDX-License-Identifier: Apache-2.0
// One life of a dataplane with several workers over a shared state: each frame goes to the worker
// that owns its flow. Tests only.
#pragma once

#include "dataplane/dispositions.h"
#include "dataplane/receive_spread.h"
#include "dataplane/rehash.h"
#include "dataplane/state.h"
#include "tests/support/appliance.h"
#include "tests/support/second_life.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::testing {

// Zeroed memory for a state, 64-byte aligned, of exactly this size.
class StateMemory {
 public:
  explicit StateMemory(std::size_t size)
      : size_(size), memory_(static_cast<std::byte*>(::operator new(size, kAlignment))) {
    std::ranges::fill(bytes(), std::byte{0});
  }
  [[nodiscard]] std::span<std::byte> bytes() { return {memory_.get(), size_}; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, kAlignment); }
  };
  std::size_t size_;
  std::unique_ptr<std::byte[], Free> memory_;
};

// What became of a frame.
struct Fate {
  dataplane::Verdict verdict = dataplane::Verdict::kPending;
  std::string backend;  // of the member, when one was involved
  Address member;
  Address pool;  // of a translated flow
  std::uint16_t pool_port = 0;
  bool began = false;  // a flow
};

class Life {
 public:
  // Requires: `state` and what it points to outlive this. `ok()` is false when the specification
  // does not go with what the state has.
  // Frames come to workers as `spread` says; null: to any.
  Life(const dataplane::SharedState& state,
       const dataplane::GenerationSpec& spec,
       const dataplane::ReceiveSpread* spread = nullptr)
      : state_(state),
        ownership_{.workers = state.geometry().workers, .spread = spread},
        neighborhood_(lab_neighborhood()) {
    auto built = build_generation(spec, members_, bindings_, hasher_, nullptr, 0);
    if (built) {
      generation_ = std::move(built->generation);
      hops_ = build_member_hops(*generation_, neighborhood_);
      for (std::uint32_t i = 0; i < state.geometry().workers; ++i) {
        workers_.push_back(
            std::make_unique<dataplane::WorkerState>(state, i, state.geometry().workers));
        workers_.back()->spread = spread;
      }
    }
  }

  [[nodiscard]] bool ok() const { return generation_ != nullptr; }
  [[nodiscard]] const dataplane::Generation& generation() const { return *generation_; }
  [[nodiscard]] const dataplane::Ownership& ownership() const { return ownership_; }
  [[nodiscard]] dataplane::WorkerState& worker(std::size_t index) { return *workers_[index]; }

  // In the first life of a state.
  void set_dispositions(const dataplane::GenerationSpec& spec) {
    apply_dispositions(spec, members_, state_.dispositions());
  }
  // As the process does at its start.
  dataplane::AdoptionReport adopt() {
    dataplane::AdoptionReport total;
    for (const auto& worker : workers_) {
      const auto report = validate_tables(worker->tables, *generation_, state_.dispositions());
      worker->count_adopted();
      total.kept += report.kept;
      total.dropped += report.dropped;
    }
    return total;
  }

  Fate send(const Bytes& frame, dataplane::PortIndex port, std::uint64_t now_ms) {
    ExactBurst burst(std::span(&frame, 1), {.head = 128, .tail = 128, .beyond = 0});
    burst.frame().port = port;
    parse(*burst);
    hash_keys(*burst, hasher_);
    dataplane::WorkerState& owner = *workers_[owner_of(*burst, 0, *generation_, 0, ownership_)];
    const std::uint64_t before = owner.stats.flows_inserted.get();
    run_stages(
        *burst,
        {.generation = generation_.get(), .neighborhood = &neighborhood_, .member_hops = hops_},
        owner,
        now_ms);
    Fate fate{.verdict = burst->verdict[0]};
    fate.began = owner.stats.flows_inserted.get() != before;
    if (fate.verdict == dataplane::Verdict::kForward) {
      const dataplane::MemberRecord& member = state_.member_records()[burst->member[0].index];
      fate.backend = member.backend.view();
      fate.member = member.address;
      if (burst->record[0] != dataplane::kNoRecord) {
        const dataplane::NatRecord& record = owner.tables.nat.record(burst->record[0]);
        fate.pool = record.pool;
        fate.pool_port = record.pool_port.to_host();
      }
    }
    return fate;
  }

 private:
  dataplane::SharedState state_;
  dataplane::Ownership ownership_;
  dataplane::MemberRegistry members_{state_.member_records()};
  dataplane::BindingRegistry bindings_{state_.binding_records()};
  dataplane::FlowHasher hasher_{kApplianceKey};
  dataplane::Neighborhood neighborhood_;
  std::unique_ptr<const dataplane::Generation> generation_;
  std::vector<dataplane::NextHop> hops_;
  std::vector<std::unique_ptr<dataplane::WorkerState>> workers_;
};

// A flow that was opened whole, and where it went.
struct KnownFlow {
  Endpoint client;
  Endpoint vip;
  bool tcp = true;
  Fate fate;

  [[nodiscard]] Bytes next() const {
    return tcp ? testing::tcp(client, vip).ack().bytes()
               : testing::udp(client, vip).payload(1).bytes();
  }
  // Requires: the flow is translated.
  [[nodiscard]] Bytes reply(bool first = false) const {
    const Endpoint from{fate.member, vip.port, kBackend1.mac};
    const Endpoint to{fate.pool, fate.pool_port, kLanMac};
    if (!tcp) {
      return testing::udp(from, to).payload(1).bytes();
    }
    return first ? testing::tcp(from, to).syn().ack().bytes()
                 : testing::tcp(from, to).ack().bytes();
  }
};

// TCP and UDP flows of both families through three_backends(), `each` of a kind.
inline std::vector<KnownFlow> open_flows(Life& life, std::uint16_t each, std::uint64_t now_ms) {
  std::vector<KnownFlow> flows;
  for (std::uint16_t port = 1; port <= each; ++port) {
    for (const auto& [client, vip] : {std::pair(kClient, kVip), std::pair(kClient6, kVip6)}) {
      flows.push_back({.client = client.at_port(port), .vip = vip, .tcp = true, .fate = {}});
      flows.push_back(
          {.client = client.at_port(port), .vip = vip.at_port(53), .tcp = false, .fate = {}});
    }
  }
  for (KnownFlow& flow : flows) {
    const Bytes syn = tcp(flow.client, flow.vip).syn().bytes();
    flow.fate = life.send(flow.tcp ? syn : flow.next(), kWan, now_ms);
    if (flow.fate.pool_port != 0) {
      life.send(flow.reply(true), kLan, now_ms);
    }
    life.send(flow.next(), kWan, now_ms);
  }
  return flows;
}

}  // namespace holdfast::testing
