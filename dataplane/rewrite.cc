// SPDX-License-Identifier: Apache-2.0
// Stage 6 of 7: headers toward the member or the client.
#include "dataplane/rewrite.h"

#include "dataplane/checksum.h"
#include "dataplane/flow_keys.h"
#include "dataplane/headers.h"
#include "dataplane/neighborhood.h"
#include "dataplane/worker_state.h"

#include <cstddef>
#include <cstring>

namespace holdfast::dataplane {
namespace {

// What a translated packet becomes.
FlowKey translated_key(const Burst& b, Slot i, const Generation& generation, const NatTable& nat) {
  const NatRecord& record = nat.record(b.flow[i]);
  if (b.direction[i] == Direction::kToClient) {
    const BindingForward& binding = *generation.binding(record.binding);
    return {.source = binding.vip,
            .destination = record.client,
            .source_port = record.service_port,
            .destination_port = record.client_port,
            .protocol = b.key[i].protocol};
  }
  const MemberForward& member = *generation.member(b.member[i]);
  return {.source = record.pool,
          .destination = member.address,
          .source_port = record.pool_port,
          .destination_port = member_port_of(member, record.service_port),
          .protocol = b.key[i].protocol};
}

void rewrite_ipv4(std::byte* l3, const FlowKey& from, const FlowKey& to) {
  auto ip = load<Ipv4Header>(l3);
  ChecksumSum changes;
  const auto before = load<Be16>(l3 + offsetof(Ipv4Header, ttl));
  --ip.ttl;
  const auto after = Be16::from_host(static_cast<std::uint16_t>((ip.ttl << 8) | ip.protocol));
  changes.replace(before, after);
  changes.replace(from.source, to.source);
  changes.replace(from.destination, to.destination);
  ip.source = to.source.v4_bits();
  ip.destination = to.destination.v4_bits();
  ip.checksum = update_checksum(ip.checksum, changes);
  store(l3, ip);
}

void rewrite_ipv6(std::byte* l3, const FlowKey& to) {
  auto ip = load<Ipv6Header>(l3);
  --ip.hop_limit;
  ip.source = to.source.bytes;
  ip.destination = to.destination.bytes;
  store(l3, ip);
}

void rewrite_transport(std::byte* l4, const FlowKey& from, const FlowKey& to) {
  ChecksumSum changes;
  changes.replace(from.source, to.source);
  changes.replace(from.destination, to.destination);
  changes.replace(from.source_port, to.source_port);
  changes.replace(from.destination_port, to.destination_port);
  store(l4, to.source_port);
  store(l4 + sizeof(Be16), to.destination_port);
  if (from.protocol == Protocol::kTcp) {
    std::byte* const at = l4 + offsetof(TcpHeader, checksum);
    store(at, update_checksum(load<Be16>(at), changes));
  } else {
    std::byte* const at = l4 + offsetof(UdpHeader, checksum);
    store(at, update_udp_checksum(load<Be16>(at), changes));
  }
}

void translate(Burst& b, Slot i, const FlowKey& to) {
  std::byte* const data = b.frame[i].data;
  if (to.source.is_v4()) {
    rewrite_ipv4(data + b.l3_offset[i], b.key[i], to);
  } else {
    rewrite_ipv6(data + b.l3_offset[i], to);
  }
  rewrite_transport(data + b.l4_offset[i], b.key[i], to);
}

bool leave_by(Burst& b, Slot i, const NextHop& hop) {
  Frame& frame = b.frame[i];
  std::memcpy(frame.data, hop.destination.data(), hop.destination.size());
  std::memcpy(frame.data + hop.destination.size(), hop.source.data(), hop.source.size());
  frame.port = hop.port;
  return b.end(i, Verdict::kForward);
}

// Why the hop cannot take the packet; nullopt when it can.
std::optional<Drop> refusal(const Burst& b, Slot i, const NextHop& hop) {
  switch (hop.state) {
    case NextHop::State::kNoRoute:
      return Drop::kNoRoute;
    case NextHop::State::kNoNeighbor:
      return Drop::kNoNeighbour;
    case NextHop::State::kResolved:
      break;
  }
  if (b.frame[i].length - b.l3_offset[i] > hop.mtu) {
    return Drop::kMtu;
  }
  return std::nullopt;
}

void count(const Burst& b, Slot i, WorkerState& state) {
  MemberStats& stats = state.members[b.member[i].index];
  const bool to_client = b.direction[i] == Direction::kToClient;
  (to_client ? stats.packets_to_client : stats.packets_to_member).add(1);
  (to_client ? stats.bytes_to_client : stats.bytes_to_member).add(b.l3_length[i]);
}

// A client on our own link tells its MAC address with each packet; the kernel need not know it.
// Until the flow stands its packets are few, and any of them may be the one that gets through.
void learn_client(const Burst& b, Slot i, const Forwarding& forwarding, WorkerState& state) {
  const Frame& frame = b.frame[i];
  if (b.direction[i] == Direction::kToMember &&
      state.tables.nat.record(b.flow[i]).state == FlowState::kHalfOpen &&
      forwarding.neighborhood->on_link(b.key[i].source, frame.port)) {
    state.notices.learn(b.key[i].source, load<EthernetHeader>(frame.data).source, frame.port);
  }
}

// What stands behind the IP packet (padding of short frames, mostly) was for the link it came from.
// Where the frame is not contiguous it stays, and counts for the MTU.
void cut_trailer(Burst& b, Slot i) {
  Frame& frame = b.frame[i];
  const std::uint32_t end = std::uint32_t{b.l3_offset[i]} + b.l3_length[i];
  if (frame.contiguous == frame.length && end < frame.length) {
    frame.tailroom = static_cast<std::uint16_t>(frame.tailroom + frame.length - end);
    frame.contiguous = static_cast<std::uint16_t>(end);
    frame.length = end;
  }
}

bool rewrite_one(Burst& b, Slot i, const Forwarding& forwarding, WorkerState& state) {
  const bool nat = b.flow[i] != kNoFlow;
  const bool to_client = b.direction[i] == Direction::kToClient;
  FlowKey to = b.key[i];
  if (nat) {
    to = translated_key(b, i, *forwarding.generation, state.tables.nat);
    learn_client(b, i, forwarding, state);
  }
  cut_trailer(b, i);
  const NextHop hop = to_client ? forwarding.neighborhood->resolve(to.destination)
                                : forwarding.member_hops[b.member[i].index];
  if (const std::optional<Drop> why = refusal(b, i, hop); why) {
    if (hop.state == NextHop::State::kNoNeighbor) {
      const Address member =
          nat && !to_client ? to.destination : forwarding.generation->member(b.member[i])->address;
      state.notices.resolve(
          forwarding.neighborhood->next_hop_address(to_client ? to.destination : member));
    }
    return b.drop(i, *why);
  }
  if (nat) {
    if (ttl_of(b, i) <= 1) {
      return b.drop(i, Drop::kTtlExpired);
    }
    translate(b, i, to);
  }
  count(b, i, state);
  return leave_by(b, i, hop);
}

}  // namespace

std::uint8_t ttl_of(const Burst& b, Slot i) {
  const std::byte* l3 = b.frame[i].data + b.l3_offset[i];
  return b.key[i].source.is_v4() ? load<Ipv4Header>(l3).ttl : load<Ipv6Header>(l3).hop_limit;
}

void rewrite(Burst& b, const Forwarding& forwarding, WorkerState& state) {
  b.filter([&](Slot i) { return rewrite_one(b, i, forwarding, state); });
}

}  // namespace holdfast::dataplane
