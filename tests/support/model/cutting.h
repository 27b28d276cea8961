// SPDX-License-Identifier: Apache-2.0
// Fragments by number, for stories: which part of a datagram a FrameOp with Oddity::kFragment is.
// All are cut from datagrams of one size, so that those of one source, target and identification
// mostly belong together. Tests only.
#pragma once

#include "tests/support/model/traffic.h"

namespace holdfast::testing {

// Regular fragments of a datagram, in order; the last one has `more` not set.
inline constexpr std::uint16_t kRegularFragments = 6;

// What FrameOp::argument says of a fragment.
constexpr std::uint16_t regular_fragment(std::uint16_t number) {
  return static_cast<std::uint16_t>(number % kRegularFragments * 8);
}
constexpr std::uint16_t comb_fragment(std::uint16_t number) {
  return static_cast<std::uint16_t>(number % 64 * 8 + 5);
}

// Payload that a datagram needs for all of these.
inline constexpr std::size_t kCutPayload = 1100;

// The fragment of the packet that the op means; extension headers in front of the cut, or behind
// it, are added to IPv6.
Bytes cut_fragment(const FrameOp& op, Packet packet, bool v4);

}  // namespace holdfast::testing
