// SPDX-License-Identifier: Apache-2.0
// See engine.h. Which VIPs are offered to others by a route: decided anew after every change, told
// to the dataplane, and shown.
#include "control/engine/engine.h"
#include "control/publish/build.h"
#include "dataplane/prefix.h"

#include <algorithm>

namespace holdfast::control {
namespace {

constexpr std::size_t kWithdrawnNotices = 20;

}  // namespace

std::vector<OfferedService> Engine::offered_services() const {
  std::vector<OfferedService> offered;
  for (std::size_t i = 0; i < config_.services.size(); ++i) {
    const config::Service& service = config_.services[i];
    OfferedService& one = offered.emplace_back();
    for (const config::Vip& vip : service.vips) {
      one.vips.push_back(vip_prefix(vip));
    }
    one.healthy = service.announce.healthy;
    // Behind a tunnel a backend serves both families, else its own.
    const bool both = config::is_tunnel(service.mode);
    for (const Member& member : roster_.services()[i].members) {
      const bool usable = is_usable(member);
      one.usable_v4 += usable && (both || !member.backend.address.v6) ? 1U : 0U;
      one.usable_v6 += usable && (both || member.backend.address.v6) ? 1U : 0U;
    }
  }
  return offered;
}

void Engine::offer_vips() {
  if (adopted_ && config_.routes) {
    routes_.want(drained_ ? RouteKeeper::Vips() : ready_vips(offered_services()));
  }
}

void Engine::report_routes(std::size_t now, std::size_t before) {
  changed_.notify();
  if (now != before) {
    parts_.log.event(Severity::kInfo,
                     "routes",
                     {{"vips", std::to_string(now)}, {"before", std::to_string(before)}});
  }
}

void Engine::add_routes(std::vector<std::string>& notices) const {
  if (!config_.routes || drained_) {
    return;
  }
  if (!routes_.failure().empty()) {
    notices.push_back("routes to VIPs are not as they should be: " + routes_.failure());
  }
  std::vector<std::string> withdrawn;
  const std::vector<OfferedService> offered = offered_services();
  for (std::size_t i = 0; i < offered.size(); ++i) {
    for (const dataplane::VipPrefix& vip : offered[i].vips) {
      if (!offered[i].is_ready(vip)) {
        withdrawn.push_back("no route to " + dataplane::prefix_text(vip.address, vip.bits) +
                            ": service " + config_.services[i].name + " has " +
                            std::to_string(offered[i].usable_for(vip)) +
                            " backends that take new flows for it, announce.healthy is " +
                            std::to_string(offered[i].healthy));
      }
    }
  }
  const std::size_t shown = std::min(withdrawn.size(), kWithdrawnNotices);
  notices.insert(notices.end(), withdrawn.begin(), withdrawn.begin() + static_cast<long>(shown));
  if (withdrawn.size() > shown) {
    notices.push_back("no route to " + std::to_string(withdrawn.size() - shown) + " more VIPs");
  }
}

}  // namespace holdfast::control
