// SPDX-License-Identifier: Apache-2.0
// Why a flow that had a member goes on at another one. One enumerator, one counter, one name:
// metrics and the ledger print kMoveCauseNames. Pure, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace holdfast::dataplane {

enum class MoveCause : std::uint8_t {
  kReset,     // its member is being reset; a datagram, since TCP is answered with a reset
  kDown,      // its member is down, and its service's flows do not wait for it
  kReopened,  // a SYN began it anew, and its member takes no new flows: nothing that stood moved
  kOperator,  // an operator moved it (flow_walk.h); counted then, not with its next packet
  kCount
};
inline constexpr std::size_t kMoveCauses = static_cast<std::size_t>(MoveCause::kCount);
inline constexpr std::array<std::string_view, kMoveCauses> kMoveCauseNames = {
    "reset",
    "down",
    "reopened",
    "operator",
};
static_assert(!kMoveCauseNames.back().empty(), "every cause has a name");

}  // namespace holdfast::dataplane
