// SPDX-License-Identifier: Apache-2.0
// Dispositions by name.
#include "dataplane/dispositions.h"

#include <functional>
#include <string_view>
#include <unordered_map>

namespace holdfast::dataplane {
namespace {

struct MemberName {
  std::string_view service;
  std::string_view backend;
  bool operator==(const MemberName&) const = default;
};

// Whether it has flows, of some protocol at least, for a reset to end.
bool has_flows_to_end(Disposition disposition) {
  return disposition == Disposition::kKeep || disposition == Disposition::kRehashDatagrams;
}

struct NameHash {
  std::size_t operator()(const MemberName& name) const {
    constexpr std::hash<std::string_view> kHash;
    return 31 * kHash(name.service) + kHash(name.backend);
  }
};

}  // namespace

std::size_t set_disposition(const MemberRegistry& members,
                            DispositionTable dispositions,
                            std::string_view service,
                            std::string_view backend,
                            MemberOrder order) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < members.records().size(); ++i) {
    MemberRecord& record = members.records()[i];
    if (record.state == RegistryState::kActive && record.service.view() == service &&
        record.backend.view() == backend) {
      record.drain_deadline_ms = order.drain_deadline_ms;
      dispositions.set({static_cast<std::uint16_t>(i), record.epoch}, order.disposition);
      ++found;
    }
  }
  return found;
}

std::vector<std::string> end_drains(const MemberRegistry& members,
                                    DispositionTable dispositions,
                                    std::uint64_t now_ms) {
  std::vector<std::string> ended;
  for (std::size_t i = 0; i < members.records().size(); ++i) {
    MemberRecord& record = members.records()[i];
    if (record.state != RegistryState::kActive || record.drain_deadline_ms == 0 ||
        record.drain_deadline_ms > now_ms) {
      continue;
    }
    record.drain_deadline_ms = 0;
    const MemberId id{static_cast<std::uint16_t>(i), record.epoch};
    if (has_flows_to_end(dispositions.get(id))) {
      dispositions.set(id, Disposition::kReset);
      ended.push_back(std::string(record.service.view()) + "/" +
                      std::string(record.backend.view()));
    }
  }
  return ended;
}

void apply_dispositions(const GenerationSpec& spec,
                        const MemberRegistry& members,
                        DispositionTable dispositions) {
  std::unordered_map<MemberName, Disposition, NameHash> wanted;
  for (const ServiceSpec& service : spec.services) {
    for (const MemberSpec& member : service.members) {
      wanted.emplace(MemberName{service.name, member.backend}, member.disposition);
    }
  }
  for (std::size_t i = 0; i < members.records().size(); ++i) {
    MemberRecord& record = members.records()[i];
    const MemberId id{static_cast<std::uint16_t>(i), record.epoch};
    if (record.state == RegistryState::kActive) {
      const auto found = wanted.find({record.service.view(), record.backend.view()});
      if (found != wanted.end()) {
        dispositions.set(id, found->second);
      }
    } else if (record.state == RegistryState::kRetired) {
      record.drain_deadline_ms = 0;
      if (dispositions.get(id) == Disposition::kNew) {
        dispositions.set(id, Disposition::kKeep);
      }
    }
  }
}

}  // namespace holdfast::dataplane
