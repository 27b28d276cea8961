// SPDX-License-Identifier: Apache-2.0
// Idle flows of a member that is being reset. A reset has to bear a number that its receiver takes
// (RFC 9293 §3.10.7.4, RFC 5961 §3), and an entry has none: so the client of a flow that has sent
// nothing since its turn is asked by an ACK whose numbers are none of its connection. It answers
// with one that bears the right ones (RFC 9293 §3.10.7.4, "if an incoming segment is not
// acceptable"), and that is answered with the reset. What has not come after kAnswerMs counts as
// unanswered; its entry stays until its timeout.
//
// The sweeper's second walk: over all tables in kAskRoundMs, as long as a member's flows have to be
// asked or waited for, a bounded number of places in each call. On the worker.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/generation.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast::dataplane {

class WorkerState;

inline constexpr std::uint64_t kAskRoundMs = 1'000;
inline constexpr std::uint64_t kAnswerMs = 3'000;

// A client to be asked, by what it sends.
struct Question {
  FlowKey key;
  std::uint32_t number = 0;  // stands for both of the segment's
};

// What the caller takes and clears after each sweep.
struct Questions {
  std::array<Question, kBurstSize> all;
  std::size_t count = 0;
};

// Where the walk is.
struct AskingWalk {
  std::uint64_t begun_ms = 0;  // 0: there is none
  std::uint64_t until_ms = 0;
  std::uint64_t visited = 0;  // places since it began
};

// Goes on with the walk. Called by sweep().
void ask_idle_flows(WorkerState& state, const Generation& generation, std::uint64_t now_ms);

// Writes the segment to `room`, from the VIP to the client. Returns its length. Requires: room for
// 74 bytes.
std::size_t build_question(std::span<std::byte> room,
                           const Question& question,
                           const MacAddress& to,
                           const MacAddress& from);

}  // namespace holdfast::dataplane
