// SPDX-License-Identifier: Apache-2.0
// Dispositions by name.
#include "dataplane/dispositions.h"

#include <map>
#include <tuple>

namespace holdfast::dataplane {

std::size_t set_disposition(const MemberRegistry& members,
                            DispositionTable dispositions,
                            std::string_view service,
                            std::string_view backend,
                            Disposition disposition) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < members.records().size(); ++i) {
    const MemberRecord& record = members.records()[i];
    if (record.state == RegistryState::kActive && record.service.view() == service &&
        record.backend.view() == backend) {
      dispositions.set({static_cast<std::uint16_t>(i), record.epoch}, disposition);
      ++found;
    }
  }
  return found;
}

void apply_dispositions(const GenerationSpec& spec,
                        const MemberRegistry& members,
                        DispositionTable dispositions) {
  std::map<std::pair<std::string_view, std::string_view>, Disposition> wanted;
  for (const ServiceSpec& service : spec.services) {
    for (const MemberSpec& member : service.members) {
      wanted.emplace(std::pair(std::string_view(service.name), std::string_view(member.backend)),
                     member.disposition);
    }
  }
  for (std::size_t i = 0; i < members.records().size(); ++i) {
    const MemberRecord& record = members.records()[i];
    const MemberId id{static_cast<std::uint16_t>(i), record.epoch};
    if (record.state == RegistryState::kActive) {
      const auto found = wanted.find({record.service.view(), record.backend.view()});
      if (found != wanted.end()) {
        dispositions.set(id, found->second);
      }
    } else if (record.state == RegistryState::kRetired &&
               dispositions.get(id) == Disposition::kNew) {
      dispositions.set(id, Disposition::kKeep);
    }
  }
}

}  // namespace holdfast::dataplane
