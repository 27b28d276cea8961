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

bool is_out(Disposition disposition, bool draining) {
  return disposition == Disposition::kAvoid || disposition == Disposition::kRehash ||
         disposition == Disposition::kRehashDatagrams ||
         (disposition == Disposition::kReset && !draining);
}

Clock::TimePoint newest_pass(const ServiceEntry& service) {
  Clock::TimePoint newest;
  for (const Member& member : service.members) {
    newest = member.judgement.health == Health::kDown ? newest : std::max(newest, member.passed);
  }
  return newest;
}

bool is_to_be_left(const ServiceEntry& service) {
  if (service.last_resort || service.when_down == Disposition::kAvoid) {
    return false;
  }
  const Clock::TimePoint newest = newest_pass(service);
  return std::ranges::any_of(service.members, [&](const Member& member) {
    return is_dead(member.state()) && newest > member.down_since &&
           member.decision.disposition != service.when_down;
  });
}

}  // namespace holdfast::control
