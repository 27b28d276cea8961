// SPDX-License-Identifier: Apache-2.0
// How flows live and end.
#include "tests/support/model/flows.h"

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::TimeoutSpec;

constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kRst = 0x04;
constexpr std::uint8_t kAck = 0x10;
constexpr std::uint64_t kQuietSeconds = 5;
constexpr std::uint32_t kWindow = 65535;  // that a SYN can announce

bool is_over(SideState side) { return side == SideState::kFin || side == SideState::kReset; }

SideState next_side(SideState now, const Reading& packet, bool from_client) {
  if (packet.has(kRst)) {
    return SideState::kReset;
  }
  if (packet.has(kFin)) {
    return SideState::kFin;
  }
  if (packet.has(kSyn)) {
    return from_client && packet.begins() && is_over(now) ? SideState::kSyn : now;
  }
  // Data or an acknowledgment. After its FIN a side only acknowledges; one that goes on after a
  // reset has not sent that.
  return now == SideState::kFin ? now : SideState::kOpen;
}

// The client's SYN, while the member has not answered.
void ask(Translation& flow, const Numbers& numbers, const Reading& packet) {
  const std::uint32_t first = numbers.sequence + 1;
  const std::uint32_t data = packet.fragment ? kWindow : numbers.next - first;
  const bool known = flow.client_begins != 0 || flow.client_next != 0;
  if (!known || first != flow.client_begins) {
    flow.client_begins = first;
    flow.client_next = first + data;
  } else if (data > flow.client_next - first) {
    flow.client_next = first + data;
  }
}

// What the member sends before the client has acknowledged its SYN.
void offer(Translation& flow, const Numbers& numbers, const Reading& packet) {
  if (packet.has(kRst) || packet.has(kSyn)) {
    flow.client_begins = flow.client_next = 0;
  }
  if (packet.has(kRst)) {
    flow.member_side = SideState::kReset;
    flow.member_begins = flow.member_next = 0;
    return;
  }
  if (packet.has(kSyn) &&
      (flow.member_side != SideState::kSyn || flow.member_begins != numbers.sequence + 1)) {
    flow.member_side = SideState::kSyn;
    flow.member_begins = flow.member_next = numbers.sequence + 1;
  }
  const std::uint32_t sent = numbers.next - flow.member_begins;
  if (flow.member_side == SideState::kSyn && sent <= kWindow &&
      sent > flow.member_next - flow.member_begins) {
    flow.member_next = numbers.next;
  }
}

// Whether the client's segment completes the handshake, from which on the flow stands.
bool accepts(Translation& flow, const Numbers& numbers, const Reading& packet) {
  if (!packet.has(kAck) || packet.has(kRst) || flow.member_side != SideState::kSyn ||
      numbers.acknowledgment - flow.member_begins > flow.member_next - flow.member_begins) {
    return false;
  }
  flow.member_begins = flow.member_next = 0;
  flow.state = FlowState::kEstablished;
  flow.client_side = flow.member_side = SideState::kOpen;
  return true;
}

}  // namespace

Numbers numbers_of(const Arriving& frame, const Reading& packet) {
  const std::size_t header = 4U * (frame.bytes[packet.l4 + 12] >> 4);
  const std::size_t payload = packet.end() - packet.l4 - header;
  const std::uint32_t sequence = number32(frame.bytes, packet.l4 + 4);
  const std::uint32_t flags = (packet.has(kSyn) ? 1U : 0U) + (packet.has(kFin) ? 1U : 0U);
  return {.sequence = sequence,
          .acknowledgment = number32(frame.bytes, packet.l4 + 8),
          .next = sequence + static_cast<std::uint32_t>(payload) + flags};
}

bool Translation::given_up() const {
  return detached && client_side == SideState::kReset && member_side == SideState::kReset;
}

// One packet proves nothing, whoever sent it.
FlowState first_state(const Reading& packet) {
  if (packet.tcp() && packet.has(kFin) && !packet.has(kRst)) {
    return FlowState::kUnprovenEnd;
  }
  return packet.begins() ? FlowState::kHalfOpen : FlowState::kUnproven;
}

FlowState next_state(FlowState now, const Reading& packet) {
  if (!packet.tcp()) {
    return FlowState::kUdp;
  }
  const bool closed = now == FlowState::kClosing || now == FlowState::kUnprovenEnd;
  if (packet.has(kRst)) {  // may be forged: a flow that stood is in doubt, another one as before
    return now == FlowState::kEstablished ? FlowState::kDoubtful : now;
  }
  if (packet.has(kFin)) {
    return closed ? now : FlowState::kClosing;
  }
  if (packet.begins()) {  // of what was closed, perhaps a new connection
    return now == FlowState::kClosing       ? FlowState::kDoubtful
           : now == FlowState::kUnprovenEnd ? FlowState::kUnproven
                                            : now;
  }
  // Behind a FIN still come acknowledgments.
  return packet.has(kSyn) || !packet.has(kAck) || closed ? now : FlowState::kEstablished;
}

bool shows_itself(FlowState before, FlowState after) {
  const bool shown = after == FlowState::kEstablished || after == FlowState::kUdp;
  return shown && before != after;
}

void begin(Translation& flow, const Arriving& frame, const Reading& packet) {
  flow.state = FlowState::kHalfOpen;
  if (packet.tcp()) {
    flow.client_side = SideState::kSyn;
    ask(flow, numbers_of(frame, packet), packet);
  }
}

bool answers_another(const Translation& flow, const Arriving& frame, const Reading& packet) {
  const bool known = flow.client_begins != 0 || flow.client_next != 0;
  const bool answer = packet.has(kAck) && (packet.has(kSyn) || packet.has(kRst));
  if (!packet.tcp() || packet.later() || !known || !answer) {
    return false;
  }
  const std::uint32_t acknowledged = numbers_of(frame, packet).acknowledgment;
  return acknowledged - flow.client_begins > flow.client_next - flow.client_begins;
}

void advance(Translation& flow, const Arriving& frame, const Reading& packet, bool from_client) {
  if (!packet.tcp()) {
    flow.state = from_client ? flow.state : FlowState::kUdp;
    return;
  }
  if (flow.state == FlowState::kHalfOpen) {
    const Numbers numbers = numbers_of(frame, packet);
    if (!from_client) {
      return offer(flow, numbers, packet);
    }
    if (packet.begins() && flow.member_side == SideState::kIdle) {
      ask(flow, numbers, packet);
    }
    if (!accepts(flow, numbers, packet)) {
      return;
    }
  }
  const bool both_lived = !is_over(flow.client_side) && !is_over(flow.member_side);
  SideState& side = from_client ? flow.client_side : flow.member_side;
  side = next_side(side, packet, from_client);
  if (both_lived && (packet.has(kFin) || packet.has(kRst))) {
    flow.client_closed_first = from_client;
  }
  if (is_over(flow.client_side) || is_over(flow.member_side)) {
    flow.state = FlowState::kClosing;
  } else if (flow.client_side == SideState::kOpen) {
    flow.state = FlowState::kEstablished;
  }
}

std::uint64_t lifetime(FlowState state, const TimeoutSpec& timeouts) {
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

std::uint64_t lifetime(const Translation& flow, const TimeoutSpec& timeouts) {
  if (flow.member_side == SideState::kReset) {
    return 2;  // nobody keeps TIME_WAIT after a reset
  }
  if (flow.member_over() && is_over(flow.client_side)) {
    // TIME_WAIT is with whoever closed first
    return flow.client_side == SideState::kReset || flow.client_closed_first ? 2 : 60;
  }
  return lifetime(flow.state, timeouts);
}

Judged judge(FlowState state, Disposition disposition, const Reading& packet) {
  if (disposition == Disposition::kReset) {
    return packet.tcp() && !packet.begins() ? Judged::kReset : Judged::kChooseAgain;
  }
  if (disposition == Disposition::kRehash ||
      (disposition == Disposition::kRehashDatagrams && !packet.tcp())) {
    return Judged::kChooseAgain;
  }
  if (!packet.begins()) {
    return Judged::kStays;
  }
  // A SYN: a member that is down loses it always, one that takes no new flows unless the flow
  // stands.
  const bool down =
      disposition == Disposition::kAvoid || disposition == Disposition::kRehashDatagrams;
  const bool loses = state == FlowState::kEstablished ? down : disposition != Disposition::kNew;
  return loses ? Judged::kChooseAgain : Judged::kStays;
}

// A SYN takes no flow that is in use from a draining member: it may be forged, as may have been the
// FIN before. A half-open flow is in nobody's use yet.
Judged judge_entry(const Entry& entry,
                   std::uint64_t silent_s,
                   Disposition disposition,
                   const Reading& packet) {
  const bool in_use = entry.state != FlowState::kHalfOpen && silent_s < kQuietSeconds;
  return in_use && disposition == Disposition::kKeep ? Judged::kStays
                                                     : judge(entry.state, disposition, packet);
}

}  // namespace holdfast::testing
