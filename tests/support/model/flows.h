// SPDX-License-Identifier: Apache-2.0
// The model's flows: what a balancer between client and member can know of a connection (RFC 9293
// §3.3.2 as seen from between, RFC 4787, RFC 5382), by the contracts of dataplane/track.h and
// dataplane/nat_table.h. Plain values; tests only.
#pragma once

#include "dataplane/flow_table.h"
#include "dataplane/nat_table.h"
#include "dataplane/spec.h"
#include "tests/support/model/choosing.h"
#include "tests/support/model/reading.h"

#include <compare>
#include <cstdint>
#include <string>

namespace holdfast::testing {

using dataplane::FlowState;
using dataplane::SideState;

// What tells two flows apart: the 5-tuple, and the binding.
struct FlowName {
  std::size_t binding = 0;
  Address vip;
  Address client;
  std::uint16_t client_port = 0;
  std::uint16_t service_port = 0;
  auto operator<=>(const FlowName&) const = default;
};

// A flow that is not translated.
struct Entry {
  MemberIndex member = 0;
  FlowState state = FlowState::kFree;
  std::uint64_t seen_s = 0;  // seconds at its newest packet
  bool operator==(const Entry&) const = default;
};

// What a source prefix's newest flow to a service left behind.
struct SourceName {
  std::string service;
  Address prefix;
  auto operator<=>(const SourceName&) const = default;
};
struct Remembered {
  MemberIndex member = 0;
  std::uint64_t seen_s = 0;  // seconds at its newest new flow
  bool operator==(const Remembered&) const = default;
};

// The reply's 5-tuple.
struct ReplyName {
  Address member;
  std::uint16_t member_port = 0;
  Address pool;
  std::uint16_t pool_port = 0;
  std::uint8_t protocol = 0;
  auto operator<=>(const ReplyName&) const = default;
};

// A translated flow.
struct Translation {
  FlowName name;
  ReplyName reply;
  MemberIndex member = 0;
  FlowState state = FlowState::kHalfOpen;
  SideState client_side = SideState::kIdle;
  SideState member_side = SideState::kIdle;
  bool client_closed_first = false;
  bool detached = false;  // found by replies only
  bool ended = false;     // no longer counted as a flow
  // Half-open, and the member has not answered: what it has to acknowledge at least, and may at
  // most. Both 0: not known.
  std::uint32_t client_begins = 0;
  std::uint32_t client_next = 0;
  // Half-open, and the member has sent a SYN: what the client has to acknowledge at least, and may
  // at most.
  std::uint32_t member_begins = 0;
  std::uint32_t member_next = 0;
  std::uint64_t seen_s = 0;
  std::uint64_t burst = 0;  // that used it last
  bool operator==(const Translation&) const = default;

  // Ended from here: nothing that still comes changes it.
  [[nodiscard]] bool given_up() const;
  [[nodiscard]] bool member_over() const {
    return member_side == SideState::kFin || member_side == SideState::kReset;
  }
};

// The numbers of a TCP segment.
struct Numbers {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
  std::uint32_t next = 0;  // the sequence number behind it
};
Numbers numbers_of(const Arriving& frame, const Reading& packet);

// The state of an entry after its first packet, and after another one.
FlowState first_state(const Reading& packet);
FlowState next_state(FlowState now, const Reading& packet);

// Whether the packet between these states showed that there is a flow.
bool shows_itself(FlowState before, FlowState after);

// The first packet, which is the client's, and another one of either side.
void begin(Translation& flow, const Arriving& frame, const Reading& packet);
void advance(Translation& flow, const Arriving& frame, const Reading& packet, bool from_client);

// Whether the member's packet answers a SYN, but none of this flow's client.
bool answers_another(const Translation& flow, const Arriving& frame, const Reading& packet);

// Seconds of idleness after which it is over.
std::uint64_t lifetime(FlowState state, const dataplane::TimeoutSpec& timeouts);
std::uint64_t lifetime(const Translation& flow, const dataplane::TimeoutSpec& timeouts);

// What a flow's disposition makes of a packet that found it.
enum class Judged : std::uint8_t { kStays, kChooseAgain, kReset };
Judged judge(FlowState state, dataplane::Disposition disposition, const Reading& packet);
// Of an entry that was last seen `silent_s` ago.
Judged judge_entry(const Entry& entry,
                   std::uint64_t silent_s,
                   dataplane::Disposition disposition,
                   const Reading& packet);

}  // namespace holdfast::testing
