// SPDX-License-Identifier: Apache-2.0
// A walk over a worker's flows, for an operator: lists those that match, or gives them to other
// members. Each worker walks its own tables, some places in each turn of its loop; the main thread
// makes the order and the room for what is found beforehand, and reads the findings afterwards
// (process/flow_walks.h). Pure; on the worker; no allocation.
//
//   kList    notes flows, up to a number of them, and counts all
//   kReset   gives TCP flows to a copy of their member (member_copies.h), forgets those of UDP:
//            their next datagram begins anew. Leaves alone what is being reset already
//   kMove    gives flows to another member, and counts them as moved
//
// Not among the flows: what has outlived its timeout and was not swept yet, affinity records, and
// in `nat` what is over (ended, closed, or found by replies only).
//
// An entry that makes room by going to its other bucket may be passed over or seen twice: where any
// did during a pass, there is another one, up to kMostPasses.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/flow_filter.h"
#include "dataplane/flow_state.h"
#include "dataplane/generation.h"
#include "dataplane/spec.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace holdfast::dataplane {

class WorkerState;

// Buckets and records that a walk looks at in one turn of the worker's loop.
inline constexpr std::size_t kWalkPlaces = 64;
inline constexpr std::uint32_t kMostPasses = 3;

enum class WalkKind : std::uint8_t { kList, kReset, kMove };

// What is done with the flows of a member, by registry index.
struct WalkedMember {
  bool wanted = false;
  bool being_reset = false;
  std::uint8_t epoch = 0;
  std::optional<MemberId> to;  // nullopt: they stay
};

// The same for all workers. Nothing changes while they walk, but for `cancelled`.
struct FlowOrder {
  WalkKind kind = WalkKind::kList;
  FlowFilter filter;
  std::vector<WalkedMember> members;  // kRegistryCapacity of them
  std::size_t most_rows = 0;          // that a worker notes
  std::atomic<bool> cancelled{false};
};

struct FlowRow {
  FlowKey key;  // as the client's packets have it
  MemberId member;
  Mode mode = Mode::kNat;
  FlowState state = FlowState::kFree;
  std::uint16_t age_s = 0;  // since its last packet
  bool translated = false;  // by an endpoint of the pool
  Address pool;
  Be16 pool_port;
};

struct FlowFindings {
  std::uint64_t matched = 0;
  std::uint64_t being_reset = 0;  // of these, flows whose member is being reset
  std::uint64_t given = 0;        // to another member
  std::uint64_t forgotten = 0;    // of UDP
  std::vector<FlowRow> rows;
  std::vector<std::uint32_t> by_member;  // matched, those being reset aside; by registry index
};

// One worker's. Made and destroyed by the main thread, in use by the worker in between.
struct FlowWalk {
  explicit FlowWalk(const FlowOrder& what);

  const FlowOrder& order;
  FlowFindings found;
  std::size_t place = 0;
  std::uint64_t displaced = 0;  // by the tables, when the pass began
  std::uint32_t passes = 0;
};

// Goes on with the walk; true when it is over. Requires: the generation knows the members that
// flows are given to, or the order is cancelled.
bool walk_some(FlowWalk& walk,
               WorkerState& state,
               const Generation& generation,
               std::uint64_t now_ms);

}  // namespace holdfast::dataplane
