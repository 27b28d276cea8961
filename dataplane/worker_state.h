// SPDX-License-Identifier: Apache-2.0
// Everything one worker owns: its flow tables (views into the shared state), its counters, and what
// it noticed for others to act on. Written by that worker alone; counters are read by the seam's
// thread. Replay, trace, tests and fuzzers make one over heap memory.
#pragma once

#include "dataplane/address.h"
#include "dataplane/asking.h"
#include "dataplane/burst.h"
#include "dataplane/choose.h"
#include "dataplane/fragment_table.h"
#include "dataplane/pool_shortage.h"
#include "dataplane/recent_neighbors.h"
#include "dataplane/reset_spread.h"
#include "dataplane/state.h"
#include "dataplane/stats.h"
#include "dataplane/token_bucket.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace holdfast::dataplane {

// What a burst's frames told about neighbours and members. The caller takes and clears it after
// each burst; what does not fit is forgotten, the next frame tells it again.
struct Notices {
  struct Learned {
    Address address;
    MacAddress mac{};
    PortIndex port = 0;
  };
  RecentNeighbors recent;          // stays; until the neighbourhood has them
  std::array<Learned, 8> learned;  // senders seen on-link: ARP, ND, clients
  std::uint8_t learned_count = 0;
  std::array<Address, 8> unresolved;  // next hops (gateways, members) without a link-layer address
  std::uint8_t unresolved_count = 0;
  std::array<MemberId, 8> refusing;  // members that were asked for a flow and did not take it
  std::uint8_t refusing_count = 0;

  // A frame from nobody's own address teaches nothing.
  void learn(const Address& address, const MacAddress& mac, PortIndex port) {
    if (is_group(mac) || mac == MacAddress{}) {
      return;
    }
    recent.add(address, mac, port);
    if (learned_count < learned.size()) {
      learned[learned_count++] = {.address = address, .mac = mac, .port = port};
    }
  }
  void resolve(const Address& next_hop) {
    if (unresolved_count < unresolved.size()) {
      unresolved[unresolved_count++] = next_hop;
    }
  }
  void refuse(MemberId member) {
    if (refusing_count < refusing.size()) {
      refusing[refusing_count++] = member;
    }
  }
  void clear() {
    learned_count = 0;
    unresolved_count = 0;
    refusing_count = 0;
  }
};

// Packet-too-big messages that a worker sends: a sender needs one per path, and one that ignores
// them is not to cost more than its packets do.
inline constexpr std::uint32_t kTooBigPerSecond = 1000;
inline constexpr std::uint32_t kTooBigBurst = 200;
// ICMP errors that a worker forwards: a path that changes its MTU tells each flow once, far below
// this; what is above is a flood, of forged ones or about a flood.
inline constexpr std::uint32_t kIcmpErrorsPerSecond = 1000;
inline constexpr std::uint32_t kIcmpErrorsBurst = 200;

class ReceiveSpread;

class WorkerState {
 public:
  WorkerState(const SharedState& shared, std::uint32_t index, std::uint32_t count)
      : worker(index),
        workers(count),
        tables(shared.tables(index)),
        dispositions(shared.dispositions()),
        members(kRegistryCapacity),
        moves(kRegistryCapacity),
        refusals(kRegistryCapacity),
        binding_entries(kRegistryCapacity),
        binding_records(kRegistryCapacity),
        pool_cursor(kRegistryCapacity) {}

  const std::uint32_t worker;
  const std::uint32_t workers;
  WorkerTables tables;
  DispositionTable dispositions;
  BarrenTiers barren;
  WorkerStats stats;
  std::vector<MemberStats> members;  // by registry index
  std::vector<MemberMoves> moves;    // likewise
  // Likewise, of `nat`: handshakes that the member answered with a reset, and errors saying that
  // it, or its port, cannot be reached.
  std::vector<Counter> refusals;
  std::vector<Counter> binding_entries;        // by binding; of either kind, as in MemberStats
  std::vector<std::uint32_t> binding_records;  // by binding: those of binding_entries in `nat`
  std::vector<std::uint32_t> pool_cursor;  // by member: where the next pool endpoint is looked for
  PoolShortage pool_shortage;
  const ReceiveSpread* spread = nullptr;  // where frames arrive; null: at any worker
  ResetSpread resets;
  AskingWalk asking;
  Questions questions;  // for the caller to send after each sweep
  Notices notices;
  FragmentTable fragments;
  // ICMP errors forwarded, and too-big messages sent, by the client of the flow they are about
  // (FlowHasher::source).
  SharedBudget icmp_errors{kIcmpErrorsPerSecond, kIcmpErrorsBurst};
  SharedBudget too_big{kTooBigPerSecond, kTooBigBurst};

  [[nodiscard]] Availability availability() {
    return {.dispositions = dispositions, .barren = barren};
  }

  // Where the sweeper goes on, and when it last ran.
  struct SweepPosition {
    std::uint64_t last_ms = 0;
    std::size_t v4 = 0;
    std::size_t v6 = 0;
    std::size_t wide = 0;
    std::size_t nat = 0;
  } sweep_position;

  // How many records new flows may still look at in this second, by the timeouts of this
  // generation: reclaim_nat_record().
  struct Reclaim {
    Stamp second = 0;
    std::uint64_t generation = 0;
    std::size_t visits_left = 0;
  } reclaim;

  // Sets the live counts from the tables; once, after validate_tables().
  void count_adopted();
};

// Counts that the member did not take a flow, and tells.
inline void note_refusal(WorkerState& state, MemberId member) {
  state.refusals[member.index].add(1);
  state.notices.refuse(member);
}

// Ends idle and orphaned flows: visits as many buckets and records as the time since the last call
// demands for a whole round in 2 s (30 s for large tables), at most 4096 of each. Releases
// fragments that have waited too long. Notes which members are being reset, and asks the clients of
// their idle flows (asking.h). Call once per loop.
void sweep(WorkerState& state, const Generation& generation, std::uint64_t now_ms);

}  // namespace holdfast::dataplane
