// SPDX-License-Identifier: Apache-2.0
// Maglev lookup tables (Eisenbud et al., NSDI'16, §3.4): consistent hashing by a table that is a
// pure function of (member keys, weights, secret). Called by generation.cc off the workers, and by
// tests and benchmarks; safe on any thread.
#pragma once

#include "dataplane/hash.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace holdfast::dataplane {

struct MaglevMember {
  std::string_view key;      // stable name; two members of a table never share it
  std::uint32_t weight = 0;  // 0 gets no slot
  std::uint16_t index = 0;   // what the table holds
};

// Builds a table of `slots` entries, or an empty one when every weight is 0. Members take turns at
// times (turn + 1) / weight, ties by key, so shares follow the weights exactly: with equal weights
// two members differ by at most one slot. The order of `members` does not matter. In its turn a
// member takes the first free one of the slots offset, offset + skip, ..., where with h(domain) the
// chain of FlowHasher::words over (domain, length of the key) and then (chain, next 8 bytes of the
// key, little-endian, padded with 0): offset = h(1) % slots, skip = h(2) % (slots - 1) + 1.
// Requires: slots prime and larger than the number of members. O(slots x log(slots)) expected.
std::vector<std::uint16_t> build_maglev(std::span<const MaglevMember> members,
                                        std::uint32_t slots,
                                        const FlowHasher& hasher);

// The slot of a flow's hash, without a division.
constexpr std::uint32_t maglev_slot(std::uint64_t hash, std::uint32_t slots) {
  return static_cast<std::uint32_t>(((hash >> 32) * slots) >> 32);
}

// How far two tables of one service differ, in slots: all that changed, and the least that any
// table with the new shares would have had to change. Tables of different sizes differ everywhere.
struct TableChange {
  std::uint32_t moved = 0;
  std::uint32_t least = 0;
};
TableChange compare_tables(std::span<const std::uint16_t> before,
                           std::span<const std::uint16_t> after);

}  // namespace holdfast::dataplane
