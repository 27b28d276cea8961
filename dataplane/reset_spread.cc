// SPDX-License-Identifier: Apache-2.0
// See reset_spread.h.
#include "dataplane/reset_spread.h"

namespace holdfast::dataplane {

void ResetSpread::look(const DispositionTable& dispositions,
                       const Generation& generation,
                       std::uint64_t at_ms) {
  const std::uint64_t version = dispositions.version();  // before any look that it is to stand for
  if (window_ms == 0 || (looked_ && version == seen_version_)) {
    return;
  }
  looked_ = true;
  seen_version_ = version;
  for (std::size_t i = 0; i < generation.members().size(); ++i) {
    const MemberForward& member = generation.members()[i];
    const MemberId id{static_cast<std::uint16_t>(i), member.epoch};
    Since& since = members_[i];
    const bool resets = member.live && dispositions.get(id) == Disposition::kReset;
    const bool known = resets && since.resets && since.epoch == id.epoch;
    newest_ms_ = resets && !known ? at_ms : newest_ms_;
    since = {.at_ms = known ? since.at_ms : at_ms, .epoch = id.epoch, .resets = resets};
  }
}

}  // namespace holdfast::dataplane
