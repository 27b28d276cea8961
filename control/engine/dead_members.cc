// SPDX-License-Identifier: Apache-2.0
// See dead_members.h.
#include "control/engine/dead_members.h"

#include <algorithm>

namespace holdfast::control {
namespace {

using dataplane::Disposition;

bool is_udp(const config::ServicePort& port) { return port.protocol == config::Protocol::kUdp; }

}  // namespace

Disposition when_down(const config::Service& service) {
  switch (service.on_down) {
    case config::OnDown::kByProtocol:
      return std::ranges::any_of(service.ports, is_udp) ? Disposition::kRehashDatagrams
                                                        : Disposition::kAvoid;
    case config::OnDown::kKeep:
      return Disposition::kAvoid;
    case config::OnDown::kReset:
      return Disposition::kReset;
    case config::OnDown::kRehash:
      break;
  }
  return service.mode == config::Mode::kNat ? Disposition::kReset : Disposition::kRehash;
}

bool is_out(Disposition disposition, Admin admin) {
  return disposition == Disposition::kAvoid || disposition == Disposition::kRehash ||
         disposition == Disposition::kRehashDatagrams ||
         (disposition == Disposition::kReset && admin != Admin::kDrained);
}

bool weigh_deaths(ServiceEntry& service,
                  Member& member,
                  Evidence evidence,
                  Clock::TimePoint began,
                  Clock::TimePoint now) {
  if (service.undecided == 0 || evidence == Evidence::kVoid) {
    return false;
  }
  if (evidence != Evidence::kPass) {
    const bool proved = member.judgement.health == Health::kDown && !member.proved_dead &&
                        member.others_answered && began > *member.others_answered;
    member.proved_dead = member.proved_dead || proved;
    return proved;
  }
  for (Member& other : service.members) {
    if (&other != &member && other.judgement.health == Health::kDown && !other.others_answered) {
      other.others_answered = now;
    }
  }
  return false;
}

}  // namespace holdfast::control
