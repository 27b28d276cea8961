// SPDX-License-Identifier: Apache-2.0
// Opening translated flows.
#include "dataplane/nat_open.h"

#include "dataplane/flow_life.h"

#include <algorithm>
#include <optional>

namespace holdfast::dataplane {
namespace {

// The half-open record that was used least recently gives way.
bool recycle(WorkerState& state, const Generation& generation) {
  const std::uint32_t oldest = state.tables.nat.oldest_half_open();
  if (oldest == kNoRecord) {
    return false;
  }
  end_nat_flow(state, generation, oldest);
  return true;
}

std::uint32_t take_record(WorkerState& state, const Generation& generation) {
  NatTable& nat = state.tables.nat;
  if (nat.half_open_full() && !recycle(state, generation)) {
    return kNoRecord;
  }
  const std::uint32_t index = nat.take();
  if (index != kNoRecord) {
    return index;
  }
  return recycle(state, generation) ? nat.take() : kNoRecord;
}

// The worker's endpoints towards a member, in the order in which they are tried: addresses first,
// so that neighbouring flows differ in their address.
struct Endpoints {
  std::span<const Address> addresses;
  PortBlock block;

  [[nodiscard]] std::uint32_t count() const {
    return static_cast<std::uint32_t>(addresses.size()) * block.count;
  }
  void fill(std::uint32_t index, FlowKey& reply) const {
    const auto addresses_count = static_cast<std::uint32_t>(addresses.size());
    reply.destination = addresses[index % addresses_count];
    reply.destination_port =
        Be16::from_host(static_cast<std::uint16_t>(block.first + index / addresses_count));
  }
};

bool in_use(const NatTable& nat,
            const Generation& generation,
            std::uint64_t hash,
            const FlowKey& reply) {
  return nat.reply().find(hash, [&](std::uint32_t candidate) {
    return reply_key_of(nat.record(candidate), generation) == reply;
  }) != kNoRecord;
}

// The next endpoint that no record uses towards this member. `reply` comes with the member's side.
std::optional<FlowKey> find_endpoint(WorkerState& state,
                                     const Generation& generation,
                                     MemberId member,
                                     FlowKey reply) {
  const Endpoints endpoints{.addresses = generation.pool_addresses(reply.source.is_v4()),
                            .block = port_block(state.worker, state.workers)};
  const std::uint32_t count = endpoints.count();
  if (count == 0) {
    return std::nullopt;
  }
  std::uint32_t& cursor = state.pool_cursor[member.index];
  for (std::uint32_t tried = 0; tried < std::min(kEndpointTries, count); ++tried) {
    cursor = cursor + 1 >= count ? 0 : cursor + 1;
    endpoints.fill(cursor, reply);
    if (!in_use(state.tables.nat, generation, generation.hasher()(reply), reply)) {
      return reply;
    }
  }
  return std::nullopt;
}

// Puts a filled record into both indexes.
bool enter(NatTable& nat, std::uint32_t index, std::uint64_t forward, std::uint64_t reply) {
  if (!nat.reply().insert(reply, index)) {
    return false;
  }
  if (!nat.forward().insert(forward, index)) {
    nat.reply().erase(reply, index);
    return false;
  }
  return true;
}

void fill_record(NatRecord& record, const Burst& b, Slot i, const FlowKey& reply, Stamp now) {
  const FlowKey& key = b.key[i];
  const bool tcp = key.protocol == Protocol::kTcp;
  record.client = key.source;
  record.pool = reply.destination;
  record.client_port = key.source_port;
  record.service_port = key.destination_port;
  record.pool_port = reply.destination_port;
  record.binding = b.binding[i];
  record.member = b.member[i].index;
  record.epoch = b.member[i].epoch;
  record.state = FlowState::kHalfOpen;
  record.client_side = tcp ? SideState::kSyn : SideState::kIdle;
  record.stamp = now;
}

}  // namespace

bool open_nat_flow(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, std::uint64_t now_ms) {
  NatTable& nat = state.tables.nat;
  const FlowKey& key = b.key[i];
  const MemberForward& member = *generation.member(b.member[i]);
  const std::optional<FlowKey> reply =
      find_endpoint(state,
                    generation,
                    b.member[i],
                    {.source = member.address,
                     .destination = {},
                     .source_port = member_port_of(member, key.destination_port),
                     .destination_port = {},
                     .protocol = key.protocol});
  if (!reply) {
    return b.drop(i, Drop::kNatPoolExhausted);
  }
  const std::uint32_t index = take_record(state, generation);
  if (index == kNoRecord) {
    return b.drop(i, Drop::kNatTableFull);
  }
  if (!enter(nat, index, b.hash[i], generation.hasher()(*reply))) {
    nat.give(index);
    return b.drop(i, Drop::kNatTableFull);
  }
  fill_record(nat.record(index), b, i, *reply, stamp_of(now_ms));
  nat.begin_half_open(index);
  b.flow[i] = index;
  count_begin(state, b.member[i], b.binding[i], now_ms);
  return true;
}

}  // namespace holdfast::dataplane
