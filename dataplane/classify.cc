// SPDX-License-Identifier: Apache-2.0
// Stage 3 of 7: VIPs, pool addresses, and what is answered at once.
#include "dataplane/classify.h"

#include "dataplane/fragments.h"
#include "dataplane/headers.h"
#include "dataplane/icmp_error.h"
#include "dataplane/neighborhood.h"
#include "dataplane/respond.h"
#include "dataplane/worker_state.h"

#include <cstring>

namespace holdfast::dataplane {
namespace {

// Byte by byte of the frame: a copy of the header would wait for its own stores (5 ns).
bool is_to_group(const Frame& frame) { return (frame.data[0] & std::byte{1}) != std::byte{0}; }
bool is_from_group(const Frame& frame) {
  return (frame.data[offsetof(EthernetHeader, source)] & std::byte{1}) != std::byte{0};
}
bool stands_at(const std::byte* at, const MacAddress& mac) {
  return std::memcmp(at, mac.data(), mac.size()) == 0;
}

// Frames that the kernel should never see twice, or that are another station's. Where MAC addresses
// are not compared (replay), a frame to a group counts as sent to us, so that answers come from us.
[[gnu::always_inline]] inline bool for_this_station(Burst& b,
                                                    Slot i,
                                                    const Forwarding& forwarding) {
  const Frame& frame = b.frame[i];
  const Link& link = forwarding.neighborhood->link(frame.port);
  b.tagged[i] = b.tags[i] != link.tags;
  if (is_from_group(frame)) [[unlikely]] {
    return b.drop(i, Drop::kMartian);  // no station sends from there, and an answer would go to all
  }
  if (!forwarding.check_macs) {
    if (is_to_group(frame)) {
      store(frame.data, link.mac);
    }
    return true;
  }
  if (stands_at(frame.data + offsetof(EthernetHeader, source), link.mac)) {
    return b.drop(i, Drop::kOwnEgress);
  }
  if (!stands_at(frame.data, link.mac) && !is_to_group(frame)) {
    return b.drop(i, Drop::kNotOurMac);
  }
  return true;
}

void learn(Notices& notices, const std::optional<LearnedNeighbor>& learned, PortIndex port) {
  if (learned) {
    notices.learn(learned->address, learned->mac, port);
  }
}

// Whether to answer for the address on this port, by the rule by which it is announced: not while
// the other node of a pair does. Prefixes are routed to us: an on-link address in one may be a
// router's, or any other host's.
bool answers_for(const Address& address, const Forwarding& forwarding, PortIndex port) {
  const Generation& generation = *forwarding.generation;
  return !forwarding.standby &&
         (generation.bindings().is_single_vip(address) || generation.in_pool(address)) &&
         forwarding.neighborhood->on_link(address, port);
}

bool classify_arp(Burst& b, Slot i, const Forwarding& forwarding, Notices& notices) {
  const std::optional<ArpPacket> arp = read_arp(b.frame[i], b.l3_offset[i]);
  if (!arp || b.tagged[i] || !answers_for(arp_target(*arp), forwarding, b.frame[i].port)) {
    return b.end(i, Verdict::kKernel);
  }
  learn(notices, learn_from_arp(*arp), b.frame[i].port);
  const MacAddress& ours = forwarding.neighborhood->link(b.frame[i].port).mac;
  return b.end(i,
               answer_arp(b.frame[i], b.l3_offset[i], ours) ? Verdict::kReply : Verdict::kKernel);
}

bool classify_solicitation(Burst& b, Slot i, const Forwarding& forwarding, Notices& notices) {
  if (b.tagged[i] ||
      !answers_for(solicited_target(b.frame[i], b, i), forwarding, b.frame[i].port)) {
    return b.end(i, Verdict::kKernel);
  }
  learn(notices, learn_from_solicitation(b.frame[i], b, i), b.frame[i].port);
  const MacAddress& ours = forwarding.neighborhood->link(b.frame[i].port).mac;
  return b.end(
      i, answer_neighbor_solicitation(b.frame[i], b, i, ours) ? Verdict::kReply : Verdict::kKernel);
}

bool classify_echo(Burst& b, Slot i, const Generation& generation) {
  if (!generation.is_ours(b.key[i].destination)) {
    return b.end(i, Verdict::kKernel);
  }
  if (b.tagged[i]) {
    return b.drop(i, Drop::kVlanUnknown);
  }
  if (is_to_group(b.frame[i])) {
    return b.drop(i, Drop::kNotOurMac);  // unicast in a frame to everybody: RFC 1122 §3.3.6
  }
  if (generation.is_ours(b.key[i].source)) {
    return b.drop(i, Drop::kVipSource);
  }
  if (!answer_echo(b.frame[i], b, i)) {
    return b.drop(i, Drop::kBadChecksum);
  }
  return b.end(i, Verdict::kReply);
}

[[gnu::always_inline]] inline bool classify_transport(Burst& b,
                                                      Slot i,
                                                      const Forwarding& forwarding) {
  const Generation& generation = *forwarding.generation;
  const FlowKey& key = b.key[i];
  // No VIP is in a pool, and that is the cheaper question.
  const bool pool = generation.in_pool(key.destination);
  const BoundService* bound =
      pool ? nullptr
           : generation.bindings().find(
                 key.destination, key.protocol, key.destination_port.to_host());
  if (bound == nullptr && !pool) {
    return generation.bindings().is_vip(key.destination) ? b.drop(i, Drop::kNoService)
                                                         : b.end(i, Verdict::kKernel);
  }
  if (b.tagged[i]) {
    return b.drop(i, Drop::kVlanUnknown);
  }
  if (is_to_group(b.frame[i])) {
    return b.drop(i, Drop::kNotOurMac);
  }
  b.direction[i] = pool ? Direction::kToClient : Direction::kToMember;
  b.translated[i] = pool || bound->translated;
  if (bound != nullptr) {
    b.service[i] = bound->service;
    b.binding[i] = bound->binding;
    b.prefixed[i] = bound->prefixed;
  }
  return true;
}

// Like a packet of the flow that it is about; but such a packet's source is judged where it begins
// a flow, which an error never does.
[[gnu::noinline]] bool classify_error(Burst& b, Slot i, const Forwarding& forwarding) {
  if (!classify_transport(b, i, forwarding)) {
    return false;
  }
  if (forwarding.generation->is_ours(error_source(b, i))) {
    return b.drop(i, Drop::kVipSource);
  }
  return b.put_aside(i);
}

// The link is judged before the datagram is asked: what is not for us must not condemn one.
[[gnu::noinline]] bool classify_fragment(
    Burst& b, Slot i, const Forwarding& forwarding, WorkerState& state, std::uint64_t now_ms) {
  const Generation& generation = *forwarding.generation;
  if (!generation.is_ours(b.key[i].destination)) {
    return b.end(i, Verdict::kKernel);
  }
  if (b.tagged[i]) {
    return b.drop(i, Drop::kVlanUnknown);
  }
  if (is_to_group(b.frame[i])) {
    return b.drop(i, Drop::kNotOurMac);
  }
  return take_fragment(b, i, generation, state, now_ms) && classify_transport(b, i, forwarding);
}

bool classify_faulty(Burst& b, Slot i, const Generation& generation) {
  if (!generation.is_ours(b.key[i].destination)) {
    return b.end(i, Verdict::kKernel);
  }
  return b.drop(i, b.tagged[i] ? Drop::kVlanUnknown : b.fault[i]);
}

}  // namespace

void classify(Burst& b, const Forwarding& forwarding, WorkerState& state, std::uint64_t now_ms) {
  Notices& notices = state.notices;
  if (const BindingTable& bindings = forwarding.generation->bindings(); bindings.is_large()) {
    for (const Slot i : b.live_slots()) {
      const FlowKey& key = b.key[i];
      bindings.prefetch(key.destination, key.protocol, key.destination_port.to_host());
    }
  }
  b.filter([&](Slot i) {
    if (!for_this_station(b, i, forwarding)) {
      return false;
    }
    switch (b.kind[i]) {
      case Kind::kTransport:
        return classify_transport(b, i, forwarding);
      case Kind::kIcmpError:
        return classify_error(b, i, forwarding);
      case Kind::kFaulty:
        return classify_faulty(b, i, *forwarding.generation);
      case Kind::kArp:
        return classify_arp(b, i, forwarding, notices);
      case Kind::kEchoRequest:
        return classify_echo(b, i, *forwarding.generation);
      case Kind::kNeighborSolicitation:
        return classify_solicitation(b, i, forwarding, notices);
      case Kind::kFragment:
        return classify_fragment(b, i, forwarding, state, now_ms);
      case Kind::kNeighborAdvertisement:
      case Kind::kOther:
        break;
    }
    return b.end(i, Verdict::kKernel);
  });
}

}  // namespace holdfast::dataplane
