// SPDX-License-Identifier: Apache-2.0
// The stages in their order, and the accounting of every burst.
#include "dataplane/pipeline.h"

#include "dataplane/affinity.h"
#include "dataplane/classify.h"
#include "dataplane/fragments.h"
#include "dataplane/generation.h"
#include "dataplane/icmp_error.h"
#include "dataplane/nat_table.h"
#include "dataplane/neighborhood.h"
#include "dataplane/receive_spread.h"
#include "dataplane/rewrite.h"
#include "dataplane/select.h"
#include "dataplane/track.h"
#include "dataplane/worker_state.h"

#include <algorithm>

namespace holdfast::dataplane {
namespace {

// What nearly all frames become is counted for the burst at once: each addition to a counter in
// memory waits for the one before.
void account(const Burst& b, WorkerStats& stats) {
  stats.received.add(static_cast<std::uint64_t>(b.size - b.released));
  stats.released.add(b.released);
  std::uint64_t forwarded = 0;
  for (std::uint16_t i = 0; i < b.size; ++i) {
    switch (b.verdict[i]) {
      case Verdict::kForward:
        ++forwarded;
        break;
      case Verdict::kReply:
        stats.replied.add(1);
        break;
      case Verdict::kKernel:
        stats.to_kernel.add(1);
        break;
      case Verdict::kHold:
        stats.held.add(1);
        break;
      case Verdict::kDrop:
        stats.drops[static_cast<std::size_t>(b.reason[i])].add(1);
        break;
      case Verdict::kPending:
        break;  // shows as unaccounted
    }
  }
  stats.forwarded.add(forwarded);
}

// Null where the flow's service has none.
const AffinitySpec* affinity_of(const FlowKey& key, const Generation& generation) {
  const BoundService* bound =
      generation.bindings().find(key.destination, key.protocol, key.destination_port.to_host());
  if (bound == nullptr) {
    return nullptr;
  }
  const AffinitySpec& affinity = generation.service(bound->service).affinity;
  return affinity.seconds == 0 ? nullptr : &affinity;
}

}  // namespace

void hash_keys(Burst& b, const FlowHasher& hasher) {
  for (const Slot i : b.live_slots()) {
    if (is_of_flow(b.kind[i])) {
      b.hash[i] = hasher(b.key[i]);
    } else if (b.kind[i] == Kind::kFragment) [[unlikely]] {
      b.hash[i] = datagram_hash(datagram_name(b, i), hasher);
    }
  }
}

std::uint32_t owner_of(const Burst& b,
                       Slot i,
                       const Generation& generation,
                       std::uint32_t self,
                       const Ownership& ownership) {
  const bool fragment = b.kind[i] == Kind::kFragment;
  if (ownership.workers == 1 || (!is_of_flow(b.kind[i]) && !fragment)) {
    return self;
  }
  if (fragment) [[unlikely]] {
    if (!generation.is_ours(b.key[i].destination)) {
      return self;
    }
  } else if (generation.in_pool(b.key[i].destination)) {
    return worker_of_pool_port(b.key[i].destination_port, ownership.workers);
  }
  // A datagram's pieces meet by its name: only the first one has ports.
  return fragment ? worker_of_hash(b.hash[i], ownership.workers)
                  : owner_of_client(b.key[i], b.hash[i], generation, ownership);
}

std::uint32_t owner_of_client(const FlowKey& key,
                              std::uint64_t hash,
                              const Generation& generation,
                              const Ownership& ownership) {
  if (generation.has_affinity()) {
    if (const AffinitySpec* affinity = affinity_of(key, generation)) {
      return worker_of_hash(generation.hasher()(affinity_key(*affinity, key.source)),
                            ownership.workers);
    }
  }
  const ReceiveSpread* spread = ownership.spread;
  return spread != nullptr && spread->covers(key) ? spread->worker_of(key)
                                                  : worker_of_hash(hash, ownership.workers);
}

// The highest bits of the lower half: the Maglev slot is taken from the upper half, a table's
// bucket from the lowest bits.
std::uint32_t worker_of_hash(std::uint64_t hash, std::uint32_t workers) {
  return static_cast<std::uint32_t>((((hash >> 16) & 0xffff) * workers) >> 16);
}

void run_stages(Burst& b, const Forwarding& forwarding, WorkerState& state, std::uint64_t now_ms) {
  const Generation& generation = *forwarding.generation;
  classify(b, forwarding, state, now_ms);
  track(b, generation, state, now_ms);
  select(b, generation, state, now_ms);
  if (b.aside_count != 0) [[unlikely]] {
    find_error_flows(b, generation, state, now_ms);
  }
  rewrite(b, forwarding, state, now_ms);
  account(b, state.stats);
}

std::vector<NextHop> build_member_hops(const Generation& generation,
                                       const Neighborhood& neighborhood) {
  std::vector<NextHop> hops(generation.members().size());
  for (std::size_t i = 0; i < hops.size(); ++i) {
    const MemberForward& member = generation.members()[i];
    if (member.live) {
      hops[i] = neighborhood.resolve(member.address);
      hops[i].mtu = member.mtu == 0 ? hops[i].mtu : std::min(hops[i].mtu, member.mtu);
    }
  }
  return hops;
}

std::uint64_t unaccounted(const WorkerStats& stats) {
  const auto difference = [](std::uint64_t a, std::uint64_t b) { return a > b ? a - b : b - a; };
  const std::uint64_t sent = stats.forwarded.get() + stats.replied.get();
  std::uint64_t ended = sent + stats.to_kernel.get() + stats.held.get();
  for (const Counter& drop : stats.drops) {
    ended += drop.get();
  }
  std::uint64_t leaving = sent;
  for (const Counter& generated : stats.generated) {
    leaving += generated.get();
  }
  return difference(stats.received.get() + stats.released.get(), ended) +
         difference(leaving, stats.transmitted.get() + stats.transmit_full.get());
}

}  // namespace holdfast::dataplane
