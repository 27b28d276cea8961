// SPDX-License-Identifier: Apache-2.0
// A burst: at most 32 frames and everything the stages know of them, as parallel arrays; slot i is
// frame i from receive to transmit. Stages walk the live slots in order and end a frame by giving
// it a verdict, which takes it off the live list. One burst per worker, reused; no allocation.
#pragma once

#include "dataplane/address.h"
#include "dataplane/drop.h"
#include "dataplane/frame.h"
#include "dataplane/move_cause.h"
#include "dataplane/spec.h"
#include "dataplane/vlan.h"

#include <array>
#include <cstdint>
#include <span>

namespace holdfast::dataplane {

inline constexpr std::size_t kBurstSize = 32;
using Slot = std::uint8_t;

// What becomes of a frame. kPending exists only between receive and the last stage.
enum class Verdict : std::uint8_t { kPending, kForward, kReply, kKernel, kHold, kDrop };

// The 5-tuple as it stands in the packet. Of an ICMP error: that of the flow's packets which come
// from where the error came from, which is the quoted 5-tuple reversed. Its destination is the
// error's own, so that the error is classified, hashed and dispatched like a packet of its flow.
struct FlowKey {
  Address source;
  Address destination;
  Be16 source_port;
  Be16 destination_port;
  Protocol protocol = Protocol::kTcp;
  constexpr bool operator==(const FlowKey&) const = default;
};

// TCP flag bits, RFC 9293 §3.1.
inline constexpr std::uint8_t kTcpFin = 0x01;
inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpRst = 0x04;
inline constexpr std::uint8_t kTcpAck = 0x10;

// What parse found at the network layer.
enum class Kind : std::uint8_t {
  kOther,  // not IP for us to judge: the kernel's
  kArp,
  kTransport,    // TCP or UDP with readable ports
  kIcmpError,    // ICMP or ICMPv6, quoting a packet of TCP or UDP (icmp_error.h)
  kEchoRequest,  // ICMP or ICMPv6
  kNeighborSolicitation,
  kNeighborAdvertisement,
  kFragment,  // of TCP or UDP, not yet asked for its datagram; fault[i] is set, to kNoFault mostly
  kFaulty,    // IP with a fault; dropped by fault[i] when it is for a VIP, else the kernel's
};

// What of its datagram a packet is. Behind classify a later fragment has the key and the flags of
// the first one, but no upper header.
enum class Piece : std::uint8_t { kWhole, kFirst, kLater };

inline constexpr Drop kNoFault = Drop::kCount;

// Which bytes of the fragmentable part a fragment is (RFC 791 §3.2, RFC 8200 §4.5).
struct FragmentExtent {
  std::uint32_t identification = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool last = false;
};

// Whether the key is that of a flow.
constexpr bool is_of_flow(Kind kind) {
  return kind == Kind::kTransport || kind == Kind::kIcmpError;
}

// Which way a translated flow's packet goes.
enum class Direction : std::uint8_t { kToMember, kToClient };

inline constexpr std::uint16_t kNoService = 0xffff;
inline constexpr std::uint32_t kNoRecord = 0xffffffff;  // as record: not translated
inline constexpr std::uint32_t kNoSlot = 0xffffffff;    // as chosen_slot: nothing was chosen
inline constexpr std::uint32_t kOnRecord = 0xfffffffe;  // as chosen_slot: by affinity

struct Burst {
  std::uint16_t size = 0;  // frames received
  std::uint16_t live_count = 0;
  std::uint16_t released = 0;         // of those frames, how many had been held before
  std::array<Slot, kBurstSize> live;  // slots without a verdict, ascending
  std::uint16_t aside_count = 0;
  std::array<Slot, kBurstSize> aside;  // ICMP errors since classify, ascending

  std::array<Frame, kBurstSize> frame;
  std::array<Verdict, kBurstSize> verdict;
  std::array<Drop, kBurstSize> reason;  // when verdict is kDrop

  // parse
  std::array<Kind, kBurstSize> kind;
  std::array<Drop, kBurstSize> fault;  // when kind is kFaulty or kFragment
  std::array<std::uint8_t, kBurstSize> l3_offset;
  std::array<std::uint16_t, kBurstSize> l4_offset;
  std::array<std::uint16_t, kBurstSize> quoted_l4_offset;  // when kind is kIcmpError
  std::array<std::uint16_t, kBurstSize>
      l3_length;  // IP total length: what stands after it is padding
  std::array<std::uint8_t, kBurstSize> tcp_flags;
  std::array<VlanTags, kBurstSize> tags;  // that stand before the IP header
  std::array<Piece, kBurstSize> piece;
  std::array<FragmentExtent, kBurstSize> fragment;  // unless piece is kWhole
  std::array<FlowKey, kBurstSize> key;
  std::array<std::uint64_t, kBurstSize> hash;  // keyed, of key; for kFragment of its datagram

  // classify
  std::array<bool, kBurstSize> tagged;            // its tags are not its port's
  std::array<std::uint16_t, kBurstSize> service;  // index in the generation
  std::array<std::uint16_t, kBurstSize> binding;  // id in the binding registry
  std::array<bool, kBurstSize> prefixed;  // the binding is a prefix's: flows keep the destination
  std::array<Direction, kBurstSize> direction;
  std::array<bool, kBurstSize> translated;  // of a service in `nat`, either way

  // track, select, find_error_flows; of a reply they also write the binding
  std::array<MemberId, kBurstSize> member;
  std::array<std::uint32_t, kBurstSize> record;       // of the flow in `nat`, or kNoRecord
  std::array<bool, kBurstSize> known;                 // track found an entry
  std::array<std::uint32_t, kBurstSize> chosen_slot;  // Maglev slot, kOnRecord or kNoSlot

  // track: flows that have lost their member and choose again, bit n for slot n; of these, whose
  // they were and why
  std::uint32_t left = 0;
  std::array<MemberId, kBurstSize> left_member;
  std::array<MoveCause, kBurstSize> left_why;

  // Makes the first `count` slots live. Requires: count <= kBurstSize; frame[0..count) set.
  void begin(std::uint16_t count) {
    size = count;
    live_count = count;
    aside_count = 0;
    released = 0;
    left = 0;
    kind.fill(Kind::kOther);  // what is too short for a type keeps it
    piece.fill(Piece::kWhole);
    for (std::uint16_t i = 0; i < count; ++i) {
      live[i] = static_cast<Slot>(i);
      verdict[i] = Verdict::kPending;
      record[i] = kNoRecord;
      known[i] = false;
      prefixed[i] = false;
      service[i] = kNoService;
      chosen_slot[i] = kNoSlot;
    }
  }

  // Of a TCP flow. Requires: the key is a flow's.
  [[nodiscard]] bool is_tcp(Slot slot) const { return key[slot].protocol == Protocol::kTcp; }
  // A segment that asks for a connection. Requires: the key is a flow's.
  [[nodiscard]] bool is_syn(Slot slot) const {
    return is_tcp(slot) && (tcp_flags[slot] & (kTcpSyn | kTcpAck)) == kTcpSyn;
  }

  [[nodiscard]] std::span<const Slot> live_slots() const { return {live.data(), live_count}; }

  // Keeps the live slots for which `stay(slot)` is true, in order. Those it refuses must have been
  // given a verdict by then.
  template <typename Stay>
  void filter(const Stay& stay) {
    std::uint16_t kept = 0;
    for (std::uint16_t i = 0; i < live_count; ++i) {
      const Slot slot = live[i];
      if (stay(slot)) {
        live[kept++] = slot;
      }
    }
    live_count = kept;
  }

  // Ends a frame. Each returns false, so that a filter can end with `return b.drop(...)`.
  bool drop(Slot slot, Drop why) {
    verdict[slot] = Verdict::kDrop;
    reason[slot] = why;
    return false;
  }
  bool end(Slot slot, Verdict what) {
    verdict[slot] = what;
    return false;
  }

  // The slot's flow has lost its member, and goes on at another one if there is any.
  void leave(Slot slot, MemberId whose, MoveCause why) {
    left |= 1U << slot;
    left_member[slot] = whose;
    left_why[slot] = why;
  }
  [[nodiscard]] bool has_left(Slot slot) const { return (left >> slot & 1U) != 0; }

  // Takes a frame off the live list without a verdict. Returns false, like drop().
  bool put_aside(Slot slot) {
    aside[aside_count++] = slot;
    return false;
  }
};

}  // namespace holdfast::dataplane
