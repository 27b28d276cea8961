// SPDX-License-Identifier: Apache-2.0
// The states of a flow, and how an entry of the modes without translation goes from one to the
// next. There only the client's packets are seen, without sequence numbers, so that any of them may
// be forged by somebody who knows or guesses the 5-tuple:
//
//   - One packet proves nothing: a SYN makes an entry half-open, any other one unproven. The next
//     segment or datagram of the flow makes it a flow.
//   - A RST may be forged, so the client's next segment takes it back. After a real one none comes.
//   - A FIN is not taken back: the last ACK of a close, what is sent again and a half-closed
//     connection's ACKs look like segments of a living one, and would keep each closed flow for as
//     long as an idle one. The flow stays where it is and lives from packet to packet.
//   - A SYN behind a FIN or a RST begins a new connection, or is forged: the entry keeps what life
//     it has until a segment follows.
//
// Of translated flows both sides are seen: advance_tcp() in nat_table.h. Pure.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/spec.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace holdfast::dataplane {

// Stands in the shared state: new ones go behind the others. At most 16.
enum class FlowState : std::uint8_t {
  kFree,
  kHalfOpen,     // a SYN
  kEstablished,  // the client went on
  kClosing,      // a FIN of the client
  kUdp,          // several datagrams
  kAffinity,     // no flow
  kUnproven,     // one packet without SYN or FIN
  kUnprovenEnd,  // a FIN before anything else
  kDoubtful,     // a RST, or a SYN after a FIN: over, begun again, or forged
};
inline constexpr auto kLastFlowState = FlowState::kDoubtful;
inline constexpr std::size_t kFlowStates = static_cast<std::size_t>(kLastFlowState) + 1;
inline constexpr std::array<std::string_view, kFlowStates> kFlowStateNames = {
    "free",
    "half_open",
    "established",
    "closing",
    "udp",
    "affinity",
    "unproven",
    "unproven_end",
    "doubtful",
};
constexpr std::string_view flow_state_name(FlowState state) {
  return state <= kLastFlowState ? kFlowStateNames[static_cast<std::size_t>(state)] : "unknown";
}
// Whether an entry in that state is a flow's.
constexpr bool is_flow(FlowState state) {
  return state != FlowState::kFree && state != FlowState::kAffinity;
}

// The part of a table that an entry counts towards, if its kind is bounded.
enum class Share : std::uint8_t { kUnbounded, kHalfOpen, kUnproven, kAffinity };
inline constexpr std::size_t kShares = 4;
constexpr Share share_of(FlowState state) {
  switch (state) {
    case FlowState::kHalfOpen:
      return Share::kHalfOpen;
    case FlowState::kUnproven:
    case FlowState::kUnprovenEnd:
      return Share::kUnproven;
    case FlowState::kAffinity:
      return Share::kAffinity;
    case FlowState::kFree:
    case FlowState::kEstablished:
    case FlowState::kClosing:
    case FlowState::kUdp:
    case FlowState::kDoubtful:
      break;
  }
  return Share::kUnbounded;
}

// Whether an entry in a full table makes place for a new one.
constexpr bool gives_way(FlowState resident, FlowState incoming) {
  const Share share = share_of(resident);
  switch (share_of(incoming)) {
    case Share::kUnbounded:
      return share != Share::kUnbounded;
    case Share::kHalfOpen:
      return share == Share::kUnproven;
    case Share::kUnproven:
      return share == Share::kHalfOpen || share == Share::kAffinity;
    case Share::kAffinity:
      break;
  }
  return false;
}

constexpr std::uint16_t timeout_of(FlowState state, const TimeoutSpec& timeouts) {
  switch (state) {
    case FlowState::kHalfOpen:
    case FlowState::kUnproven:
    case FlowState::kUnprovenEnd:
      return timeouts.half_open;
    case FlowState::kEstablished:
      return timeouts.established;
    case FlowState::kClosing:
    case FlowState::kDoubtful:
      return timeouts.closing;
    case FlowState::kUdp:
      return timeouts.udp;
    case FlowState::kFree:
    case FlowState::kAffinity:
      break;
  }
  return 0;
}

// What a packet of the client says about its flow.
enum class FlowEvent : std::uint8_t {
  kSyn,      // without ACK
  kSegment,  // an ACK, without SYN, FIN and RST
  kFin,
  kRst,
  kOdd,       // none of these, such as a SYN with ACK
  kDatagram,  // of UDP
};
inline constexpr std::size_t kFlowEvents = 6;

constexpr FlowEvent event_of(Protocol protocol, std::uint8_t tcp_flags) {
  if (protocol != Protocol::kTcp) {
    return FlowEvent::kDatagram;
  }
  switch (tcp_flags & (kTcpSyn | kTcpFin | kTcpRst | kTcpAck)) {
    case kTcpAck:
      return FlowEvent::kSegment;
    case kTcpSyn:
      return FlowEvent::kSyn;
    default:
      break;
  }
  if ((tcp_flags & kTcpRst) != 0) {
    return FlowEvent::kRst;
  }
  return (tcp_flags & kTcpFin) != 0 ? FlowEvent::kFin : FlowEvent::kOdd;
}

// An entry's state after a packet; of kFree, the one that a new entry begins in.
constexpr FlowState next_state(FlowState now, FlowEvent event) {
  using enum FlowState;
  using Row = std::array<FlowState, kFlowEvents>;
  // clang-format off
  constexpr std::array<Row, static_cast<std::size_t>(kLastFlowState) + 1> kNext = {{
      // SYN         segment       FIN           RST           odd           datagram
      {kHalfOpen,    kUnproven,    kUnprovenEnd, kUnproven,    kUnproven,    kUnproven},  // kFree
      {kHalfOpen,    kEstablished, kClosing,     kHalfOpen,    kHalfOpen,    kUdp},  // kHalfOpen
      {kEstablished, kEstablished, kClosing,     kDoubtful,    kEstablished, kUdp},  // kEstablished
      {kDoubtful,    kClosing,     kClosing,     kClosing,     kClosing,     kUdp},  // kClosing
      {kUdp,         kUdp,         kUdp,         kUdp,         kUdp,         kUdp},  // kUdp
      {kAffinity,    kAffinity,    kAffinity,    kAffinity,    kAffinity,    kAffinity},
      {kUnproven,    kEstablished, kClosing,     kUnproven,    kUnproven,    kUdp},  // kUnproven
      {kUnproven,    kUnprovenEnd, kUnprovenEnd, kUnprovenEnd, kUnprovenEnd, kUdp},  // kUnprovenEnd
      {kDoubtful,    kEstablished, kClosing,     kDoubtful,    kDoubtful,    kUdp},  // kDoubtful
  }};
  // clang-format on
  return kNext[static_cast<std::size_t>(now)][static_cast<std::size_t>(event)];
}

// Whether a packet that led from one state to the other showed that the flow is one.
constexpr bool proved(FlowState before, FlowState after) {
  return before != after && (after == FlowState::kEstablished || after == FlowState::kUdp);
}

}  // namespace holdfast::dataplane
