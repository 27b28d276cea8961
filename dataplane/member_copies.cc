// SPDX-License-Identifier: Apache-2.0
// See member_copies.h.
#include "dataplane/member_copies.h"

#include <algorithm>
#include <optional>

namespace holdfast::dataplane {

std::expected<std::vector<MemberId>, std::string> copy_members(
    MemberRegistry& members, DispositionTable dispositions, std::span<const MemberId> originals) {
  const auto free = static_cast<std::size_t>(
      std::ranges::count(members.records(), RegistryState::kFree, &MemberRecord::state));
  const std::size_t most = free - std::min(free, kRecordsLeftFree);
  if (originals.size() > most) {
    return std::unexpected("flows of " + std::to_string(originals.size()) +
                           " backends match, but only those of " + std::to_string(most) +
                           " can be reset at once: name a service");
  }
  std::vector<MemberId> copies;
  for (const MemberId original : originals) {
    const std::optional<MemberId> copy = members.allocate_copy(original.index);
    if (copy) {  // as counted above
      dispositions.set(*copy, Disposition::kKeep);
      copies.push_back(*copy);
    }
  }
  return copies;
}

void reset_copies(DispositionTable dispositions, std::span<const MemberId> copies) {
  for (const MemberId copy : copies) {
    dispositions.set(copy, Disposition::kReset);
  }
}

std::size_t reset_all_copies(const MemberRegistry& members, DispositionTable dispositions) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < members.records().size(); ++i) {
    const MemberRecord& record = members.records()[i];
    if (record.state != RegistryState::kFree && record.copy != 0) {
      dispositions.set({static_cast<std::uint16_t>(i), record.epoch}, Disposition::kReset);
      ++count;
    }
  }
  return count;
}

}  // namespace holdfast::dataplane
