// SPDX-License-Identifier: Apache-2.0
// Copies of members, for flows that an operator resets. Such a flow is given to a copy of its
// member: same names, same address, an id of its own, retired. Then the copy is reset as any member
// is (reset_spread.h, asking.h): so each order has a window of its own, the flows go on at their
// backend until their turns, and the order stands in the shared state, where a restart finds it. A
// copy is freed when its last flow has ended. Main thread.
#pragma once

#include "dataplane/registry.h"
#include "dataplane/spec.h"
#include "dataplane/state.h"

#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <vector>

namespace holdfast::dataplane {

// Records that copies leave free, for what a reload brings.
inline constexpr std::size_t kRecordsLeftFree = 1'024;

// A copy of each, which keeps its flows for now; no worker knows of it before the next generation.
// The error: there are too many.
std::expected<std::vector<MemberId>, std::string> copy_members(MemberRegistry& members,
                                                               DispositionTable dispositions,
                                                               std::span<const MemberId> originals);

// From now on their flows are reset, each in its turn.
void reset_copies(DispositionTable dispositions, std::span<const MemberId> copies);

// What a process of before has begun goes on: all copies are reset. Returns how many there are.
std::size_t reset_all_copies(const MemberRegistry& members, DispositionTable dispositions);

}  // namespace holdfast::dataplane
