// SPDX-License-Identifier: Apache-2.0
// See decide.h.
#include "control/decide/decide.h"

#include <algorithm>

namespace holdfast::control {
namespace {

bool is_enabled(const MemberInput& member) { return member.state.admin == Admin::kEnabled; }

bool is_suspect(const MemberInput& member) {
  return is_enabled(member) && member.state.health == Health::kSuspect;
}

std::size_t count_enabled(std::span<const MemberInput> members, Health health) {
  return static_cast<std::size_t>(std::ranges::count_if(members, [health](const MemberInput& m) {
    return is_enabled(m) && m.state.health == health;
  }));
}

// The others aside.
Disposition own_disposition(const MemberInput& member, Disposition when_down) {
  const bool goes = is_dead(member.state) && when_down != Disposition::kAvoid &&
                    (member.proved_dead || member.now == when_down);
  return goes ? when_down : member.state.disposition();
}

// Gives back the traffic of suspects beyond the allowed number; those avoided already come first.
void limit_suspects(std::span<const MemberInput> members, std::vector<Decision>& decisions) {
  const auto enabled = static_cast<std::size_t>(std::ranges::count_if(members, is_enabled));
  const bool other_up =
      count_enabled(members, Health::kUp) + count_enabled(members, Health::kDamped) > 0;
  std::size_t left = other_up ? suspects_allowed(enabled) : 0;
  for (const bool avoided : {true, false}) {
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (!is_suspect(members[i]) || (members[i].now == Disposition::kAvoid) != avoided) {
        continue;
      }
      if (left > 0) {
        --left;
      } else {
        decisions[i].disposition = Disposition::kNew;
      }
    }
  }
}

}  // namespace

ServiceDecision decide(std::span<const MemberInput> members, Disposition when_down) {
  const auto enabled = static_cast<std::size_t>(std::ranges::count_if(members, is_enabled));
  ServiceDecision result;
  const std::size_t damped = count_enabled(members, Health::kDamped);
  const bool damped_serve = damped > 0 && count_enabled(members, Health::kUp) == 0;
  result.last_resort = enabled > 0 && count_enabled(members, Health::kDown) + damped == enabled;
  for (const MemberInput& member : members) {
    const bool recruited =
        is_enabled(member) &&
        (damped_serve ? member.state.health == Health::kDamped : result.last_resort);
    result.members.push_back(
        {.disposition = recruited ? Disposition::kNew : own_disposition(member, when_down),
         .weight = member.down_for_long && !recruited ? 0 : member.weight,
         .in_generation = member.state.admin != Admin::kRemoved});
  }
  limit_suspects(members, result.members);
  return result;
}

}  // namespace holdfast::control
