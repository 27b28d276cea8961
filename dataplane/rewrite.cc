// SPDX-License-Identifier: Apache-2.0
// Stage 6 of 7: headers toward the member or the client.
#include "dataplane/rewrite.h"

#include "dataplane/checksum.h"
#include "dataplane/choose.h"
#include "dataplane/encapsulate.h"
#include "dataplane/extension_headers.h"
#include "dataplane/flow_keys.h"
#include "dataplane/headers.h"
#include "dataplane/icmp_error.h"
#include "dataplane/mss.h"
#include "dataplane/neighborhood.h"
#include "dataplane/too_big.h"
#include "dataplane/worker_state.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace holdfast::dataplane {
namespace {

// What all frames of a burst are rewritten with.
struct Context {
  const Forwarding& forwarding;
  WorkerState& state;
  std::uint64_t now_ms;
};

// What a translated packet becomes.
[[gnu::always_inline]] inline FlowKey translated_key(const Burst& b,
                                                     Slot i,
                                                     const Generation& generation,
                                                     const NatTable& nat) {
  const NatRecord& record = nat.record(b.record[i]);
  if (b.direction[i] == Direction::kToClient) {
    const BindingForward& binding = *generation.binding(record.binding);
    return {.source = vip_of(nat, b.record[i], binding),
            .destination = record.client,
            .source_port = record.service_port,
            .destination_port = record.client_port,
            .protocol = b.key[i].protocol};
  }
  const MemberForward& member = generation.members()[b.member[i].index];
  return {.source = record.pool,
          .destination = member.address,
          .source_port = record.pool_port,
          .destination_port = member_port_of(member, record.service_port),
          .protocol = b.key[i].protocol};
}

// The pieces of a datagram get one new id, and keep it: see changed_identification().
[[gnu::noinline]] void change_identification(std::byte* l3,
                                             const FlowKey& from,
                                             const FlowKey& to,
                                             const FlowHasher& hasher) {
  std::byte* const at = l3 + offsetof(Ipv4Header, identification);
  const auto came = load<Be16>(at);
  const Be16 leaves = changed_identification(came, from.source, to.source, hasher);
  ChecksumSum changes;
  changes.replace(came, leaves);
  store(at, leaves);
  std::byte* const checksum = l3 + offsetof(Ipv4Header, checksum);
  store(checksum, update_checksum(load<Be16>(checksum), changes));
}

[[gnu::noinline]] void change_identification6(std::byte* l3,
                                              const FlowKey& from,
                                              const FlowKey& to,
                                              const FlowHasher& hasher) {
  if (std::byte* const at = parsing::find_identification(l3)) {
    store(at, changed_identification(load<Be32>(at), from.source, to.source, hasher));
  }
}

// Field by field, like every header here: a copy waits for the small stores into it (10 ns).
// `addresses` is what the new addresses change in a sum over the old ones.
[[gnu::always_inline]] inline void rewrite_ipv4(std::byte* l3,
                                                const FlowKey& to,
                                                const ChecksumSum& addresses) {
  const auto before = load<Be16>(l3 + offsetof(Ipv4Header, ttl));
  const auto after = Be16::from_host(static_cast<std::uint16_t>(before.to_host() - 0x0100));
  ChecksumSum changes = addresses;
  changes.replace(before, after);
  const auto checksum = load<Be16>(l3 + offsetof(Ipv4Header, checksum));
  store(l3 + offsetof(Ipv4Header, ttl), after);
  store(l3 + offsetof(Ipv4Header, checksum), update_checksum(checksum, changes));
  store(l3 + offsetof(Ipv4Header, source), to.source.v4_bits());
  store(l3 + offsetof(Ipv4Header, destination), to.destination.v4_bits());
}

void rewrite_ipv6(std::byte* l3, const FlowKey& to) {
  std::byte* const hop_limit = l3 + offsetof(Ipv6Header, hop_limit);
  store(hop_limit, static_cast<std::uint8_t>(load<std::uint8_t>(hop_limit) - 1));
  store(l3 + offsetof(Ipv6Header, source), to.source.bytes);
  store(l3 + offsetof(Ipv6Header, destination), to.destination.bytes);
}

[[gnu::always_inline]] inline void rewrite_transport(std::byte* l4,
                                                     const FlowKey& from,
                                                     const FlowKey& to,
                                                     const ChecksumSum& addresses) {
  ChecksumSum changes = addresses;
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

ChecksumSum address_changes(const FlowKey& from, const FlowKey& to) {
  ChecksumSum changes;
  changes.replace(from.source, to.source);
  changes.replace(from.destination, to.destination);
  return changes;
}

void translate_header(Burst& b,
                      Slot i,
                      const FlowKey& from,
                      const FlowKey& to,
                      const ChecksumSum& addresses,
                      const FlowHasher& hasher) {
  std::byte* const l3 = b.frame[i].data + b.l3_offset[i];
  if (to.source.is_v4()) {
    if (is_fragment(load<Be16>(l3 + offsetof(Ipv4Header, fragment))) && from.source != to.source)
        [[unlikely]] {
      change_identification(l3, from, to, hasher);
    }
    rewrite_ipv4(l3, to, addresses);
  } else {
    if (b.piece[i] != Piece::kWhole && from.source != to.source) [[unlikely]] {
      change_identification6(l3, from, to, hasher);
    }
    rewrite_ipv6(l3, to);
  }
}

[[gnu::noinline]] void translate_error(Burst& b,
                                       Slot i,
                                       const FlowKey& to,
                                       const FlowHasher& hasher) {
  const FlowKey before{.source = error_source(b, i), .destination = b.key[i].destination};
  const bool to_client = b.direction[i] == Direction::kToClient;
  const FlowKey after{.source = to_client ? to.source : before.source,
                      .destination = to.destination};
  translate_quote(b, i, to, {.before = before, .after = after}, hasher);
  translate_header(b, i, before, after, address_changes(before, after), hasher);
}

// Of a later fragment, or over IPv6.
[[gnu::noinline]] void translate_other(Burst& b,
                                       Slot i,
                                       const FlowKey& to,
                                       const FlowHasher& hasher) {
  const ChecksumSum addresses = address_changes(b.key[i], to);
  translate_header(b, i, b.key[i], to, addresses, hasher);
  if (b.piece[i] != Piece::kLater) {
    rewrite_transport(b.frame[i].data + b.l4_offset[i], b.key[i], to, addresses);
  }
}

[[gnu::always_inline]] inline void translate(Burst& b,
                                             Slot i,
                                             const FlowKey& to,
                                             const FlowHasher& hasher) {
  if (b.kind[i] == Kind::kIcmpError) [[unlikely]] {
    return translate_error(b, i, to, hasher);
  }
  const FlowKey& from = b.key[i];
  if (b.piece[i] != Piece::kWhole || !from.source.is_v4()) {
    return translate_other(b, i, to, hasher);
  }
  ChecksumSum addresses;
  addresses.replace(from.source.v4_bits(), to.source.v4_bits());
  addresses.replace(from.destination.v4_bits(), to.destination.v4_bits());
  rewrite_ipv4(b.frame[i].data + b.l3_offset[i], to, addresses);
  rewrite_transport(b.frame[i].data + b.l4_offset[i], from, to, addresses);
}

// Every forwarded frame has the tags of its egress port, and no others. False: no room for them.
[[gnu::noinline]] bool change_tags(Burst& b, Slot i, VlanTags tags) {
  const std::uint8_t before = b.l3_offset[i];
  const std::optional<std::uint8_t> l3_offset = put_tags(b.frame[i], before, tags);
  if (!l3_offset) {
    return b.drop(i, Drop::kNoHeadroom);
  }
  const auto moved = [&](std::uint16_t offset) {
    return static_cast<std::uint16_t>(offset + *l3_offset - before);
  };
  b.l3_offset[i] = *l3_offset;
  b.l4_offset[i] = moved(b.l4_offset[i]);
  if (b.kind[i] == Kind::kIcmpError) {
    b.quoted_l4_offset[i] = moved(b.quoted_l4_offset[i]);
  }
  return true;
}

bool fit_tags(Burst& b, Slot i, VlanTags tags) {
  if (b.l3_offset[i] == sizeof(EthernetHeader) && !tags.any()) [[likely]] {
    return true;
  }
  return change_tags(b, i, tags);
}

[[gnu::always_inline]] inline bool leave_by(Burst& b, Slot i, const NextHop& hop) {
  Frame& frame = b.frame[i];
  std::memcpy(frame.data, hop.destination.data(), hop.destination.size());
  std::memcpy(frame.data + hop.destination.size(), hop.source.data(), hop.source.size());
  frame.port = hop.port;
  return b.end(i, Verdict::kForward);
}

// A hop that no packet can take.
[[gnu::noinline]] bool refuse_hop(
    Burst& b, Slot i, const NextHop& hop, const Address& destination, Context& c) {
  if (hop.state == NextHop::State::kNoRoute) {
    return b.drop(i, Drop::kNoRoute);
  }
  c.state.notices.resolve(c.forwarding.neighborhood->next_hop_address(destination));
  return b.drop(i, Drop::kNoNeighbor);
}

// Bytes are those of the client's packet, without outer headers.
[[gnu::always_inline]] inline void count(const Burst& b,
                                         Slot i,
                                         std::uint16_t length,
                                         WorkerState& state) {
  if (b.kind[i] == Kind::kIcmpError) [[unlikely]] {
    // A router's, and no sign of the member's life.
    return state.stats.icmp_errors_forwarded.add(1);
  }
  MemberStats& stats = state.members[b.member[i].index];
  const bool to_client = b.direction[i] == Direction::kToClient;
  (to_client ? stats.packets_to_client : stats.packets_to_member).add(1);
  (to_client ? stats.bytes_to_client : stats.bytes_to_member).add(length);
}

// Whether the neighbourhood answers the client elsewhere than where this frame of its flow is from:
// it has been forgotten, or moved (a virtual machine, the other one of a VRRP pair).
bool has_moved(const Address& client,
               const MacAddress& mac,
               PortIndex port,
               const Neighborhood& hood) {
  const NextHop& hop = hood.resolve(client);
  return hop.state == NextHop::State::kNoNeighbor ||
         (hop.state == NextHop::State::kResolved && hop.port == port && hop.destination != mac);
}

// A client on our own link tells its MAC address with each packet; the kernel need not know it.
// Until the flow stands its packets are few, and any of them may be the one that gets through;
// afterwards it tells news only. Then a router of the link is nobody's new address: a sender beyond
// it may bear any source. A station on the link can take what it likes at layer 2 anyway, by ARP
// towards whom it pleases; here it needs a flow's ports besides. An error comes from anywhere.
// The router is asked for first, since most packets come from one.
void learn_client(const Burst& b, Slot i, const Forwarding& forwarding, WorkerState& state) {
  if (b.direction[i] != Direction::kToMember || b.kind[i] != Kind::kTransport) {
    return;
  }
  const Frame& frame = b.frame[i];
  const Address& client = b.key[i].source;
  const Neighborhood& hood = *forwarding.neighborhood;
  const auto mac = load<MacAddress>(frame.data + offsetof(EthernetHeader, source));
  const bool stands = state.tables.nat.record(b.record[i]).state != FlowState::kHalfOpen;
  if ((stands && hood.is_gateway(mac, frame.port)) || !hood.on_link(client, frame.port)) {
    return;
  }
  if (!stands || has_moved(client, mac, frame.port, hood)) {
    state.notices.learn(client, mac, frame.port);
  }
}

// The way to a client that the neighbourhood does not know: as the client's own frames just told.
[[gnu::noinline]] NextHop recent_hop(const Address& client,
                                     NextHop hop,
                                     const Neighborhood& hood,
                                     const Notices& notices) {
  if (const MacAddress* mac = notices.recent.find(hood.next_hop_address(client), hop.port)) {
    hop.state = NextHop::State::kResolved;
    hop.destination = *mac;
  }
  return hop;
}

// What stands behind the IP packet (padding of short frames, mostly) was for the link it came from.
void cut_trailer(Burst& b, Slot i) {
  Frame& frame = b.frame[i];
  const std::uint32_t end = std::uint32_t{b.l3_offset[i]} + b.l3_length[i];
  if (end < frame.contiguous) {
    frame.end_at(static_cast<std::uint16_t>(end));
  } else {
    frame.length = end;
  }
}

// A whole segment: what a fragment announces cannot be made longer, nor be summed.
bool has_syn(const Burst& b, Slot i) {
  return (b.tcp_flags[i] & kTcpSyn) != 0 && b.piece[i] == Piece::kWhole;
}

// The hop list of the slot's flow, of `most` at most.
std::span<const Address> hop_list(const Burst& b,
                                  Slot i,
                                  const Generation& generation,
                                  std::size_t most,
                                  std::span<Address, kMaxHops> room) {
  const CompiledService& service = generation.service(b.service[i]);
  const std::uint64_t hash = selection_hash(generation, service, b.key[i], b.hash[i]);
  std::array<MemberId, kMaxHops> places;
  const std::size_t count = find_alternatives(generation,
                                              service,
                                              b.key[i].source.is_v4(),
                                              hash,
                                              b.member[i],
                                              std::span(places).first(most));
  std::size_t used = 0;
  for (const MemberId place : std::span(places).first(count)) {
    const Address& address = generation.member(place)->address;
    if (address.is_v4()) {  // a list has no place for others
      room[used++] = address;
    }
  }
  return room.first(used);
}

[[gnu::noinline]] bool refuse_long(Burst& b, Slot i, std::uint32_t mtu, Context& c) {
  return refuse_too_big(b, i, mtu, *c.forwarding.generation, c.state, c.now_ms);
}

bool pass_to_end(Burst& b, Slot i, const TunnelEnd& end, const NextHop& hop, Context& c) {
  const std::uint16_t overhead = tunnel_overhead(end);
  const std::uint32_t mtu = hop.mtu > overhead ? std::uint32_t{hop.mtu} - overhead : 0;
  if (b.l3_length[i] > mtu) [[unlikely]] {
    return refuse_long(b, i, mtu, c);
  }
  if (has_syn(b, i)) [[unlikely]] {
    const MemberForward& member = c.forwarding.generation->members()[b.member[i].index];
    clamp_mss(b, i, {.most = member.most_mss, .mtu = mtu}, c.state.stats);
  }
  return encapsulate(b, i, end) || b.drop(i, Drop::kNoHeadroom);
}

[[gnu::noinline]] bool pass_with_hops(
    Burst& b, Slot i, TunnelEnd end, const NextHop& hop, Context& c) {
  std::array<Address, kMaxHops> room;
  end.hops = hop_list(b, i, *c.forwarding.generation, end.tunnel.hops, room);
  return pass_to_end(b, i, end, hop, c);
}

// The packet goes to the member behind the outer headers of a tunnel.
[[gnu::noinline]] bool pass_through_tunnel(
    Burst& b, Slot i, const MemberForward& member, const NextHop& hop, Context& c) {
  const TunnelSpec& tunnel = c.forwarding.generation->tunnels()[member.tunnel];
  const TunnelEnd end = {.tunnel = tunnel,
                         .mode = member.mode,
                         .member = member.address,
                         .inner_mac = member.inner_mac,
                         .hops = {}};
  return tunnel.hops == 0 ? pass_to_end(b, i, end, hop, c) : pass_with_hops(b, i, end, hop, c);
}

// The packet goes to the member whole: as it is, or in a tunnel.
[[gnu::always_inline]] inline bool pass_on(Burst& b, Slot i, const NextHop& hop, Context& c) {
  const MemberForward& member = c.forwarding.generation->members()[b.member[i].index];
  if (member.tunnel != kNoTunnel) {
    return pass_through_tunnel(b, i, member, hop, c);
  }
  if (b.l3_length[i] > hop.mtu) [[unlikely]] {
    return refuse_long(b, i, hop.mtu, c);
  }
  if (has_syn(b, i)) [[unlikely]] {
    clamp_mss(b, i, {.most = member.most_mss, .mtu = hop.mtu}, c.state.stats);
  }
  return true;
}

// Segments of a translated flow pass both links in either direction, so both SYNs announce what the
// narrower one carries. A link that cannot be told does not count.
std::uint32_t narrower_mtu(const Burst& b, Slot i, const NextHop& hop, const Context& c) {
  const std::uint16_t other = b.direction[i] == Direction::kToClient
                                  ? c.forwarding.member_hops[b.member[i].index].mtu
                                  : c.forwarding.neighborhood->resolve(b.key[i].source).mtu;
  return other == 0 ? hop.mtu : std::min(hop.mtu, other);
}

[[gnu::always_inline]] inline bool pass_translated(
    Burst& b, Slot i, const FlowKey& to, const NextHop& hop, Context& c) {
  if (b.l3_length[i] > hop.mtu) [[unlikely]] {
    return refuse_long(b, i, hop.mtu, c);
  }
  if (ttl_of(b, i) <= 1) {
    return b.drop(i, Drop::kTtlExpired);
  }
  if (has_syn(b, i)) [[unlikely]] {
    const MemberForward& member = c.forwarding.generation->members()[b.member[i].index];
    clamp_mss(b, i, {.most = member.most_mss, .mtu = narrower_mtu(b, i, hop, c)}, c.state.stats);
  }
  translate(b, i, to, c.forwarding.generation->hasher());
  return true;
}

// Counts and sends what has its headers. `length` is that of the client's packet.
[[gnu::always_inline]] inline bool send(
    Burst& b, Slot i, const NextHop& hop, std::uint16_t length, Context& c) {
  if (!fit_tags(b, i, c.forwarding.neighborhood->link(hop.port).tags)) {
    return false;
  }
  count(b, i, length, c.state);
  return leave_by(b, i, hop);
}

[[gnu::always_inline]] inline bool rewrite_translated(Burst& b, Slot i, Context& c) {
  const Forwarding& forwarding = c.forwarding;
  // Made in its place: a copy would wait for its small stores.
  const FlowKey to = translated_key(b, i, *forwarding.generation, c.state.tables.nat);
  learn_client(b, i, forwarding, c.state);
  cut_trailer(b, i);
  const bool to_client = b.direction[i] == Direction::kToClient;
  const Neighborhood& hood = *forwarding.neighborhood;
  const NextHop* hop =
      to_client ? &hood.resolve(to.destination) : &forwarding.member_hops[b.member[i].index];
  NextHop recent;
  if (to_client && hop->state == NextHop::State::kNoNeighbor) [[unlikely]] {
    recent = recent_hop(to.destination, *hop, hood, c.state.notices);
    hop = &recent;
  }
  if (hop->state != NextHop::State::kResolved) [[unlikely]] {
    return refuse_hop(b, i, *hop, to.destination, c);
  }
  const std::uint16_t length = b.l3_length[i];
  return pass_translated(b, i, to, *hop, c) && send(b, i, *hop, length, c);
}

[[gnu::always_inline]] inline bool rewrite_whole(Burst& b, Slot i, Context& c) {
  cut_trailer(b, i);
  const std::uint16_t member = b.member[i].index;
  const NextHop& hop = c.forwarding.member_hops[member];
  if (hop.state != NextHop::State::kResolved) [[unlikely]] {
    return refuse_hop(b, i, hop, c.forwarding.generation->members()[member].address, c);
  }
  const std::uint16_t length = b.l3_length[i];
  return pass_on(b, i, hop, c) && send(b, i, hop, length, c);
}

}  // namespace

NextHop hop_to_client(const Address& client, const Neighborhood& hood, const Notices& notices) {
  const NextHop& hop = hood.resolve(client);
  return hop.state == NextHop::State::kNoNeighbor ? recent_hop(client, hop, hood, notices) : hop;
}

std::uint8_t ttl_of(const Burst& b, Slot i) {
  const std::byte* l3 = b.frame[i].data + b.l3_offset[i];
  return load<std::uint8_t>(
      l3 + (b.key[i].source.is_v4() ? offsetof(Ipv4Header, ttl) : offsetof(Ipv6Header, hop_limit)));
}

void rewrite(Burst& b, const Forwarding& forwarding, WorkerState& state, std::uint64_t now_ms) {
  Context context{.forwarding = forwarding, .state = state, .now_ms = now_ms};
  b.filter([&](Slot i) {
    return b.record[i] == kNoRecord ? rewrite_whole(b, i, context)
                                    : rewrite_translated(b, i, context);
  });
}

}  // namespace holdfast::dataplane
