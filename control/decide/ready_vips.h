// SPDX-License-Identifier: Apache-2.0
// Which VIPs this node is ready for, so that routes may lead traffic here: those of which every
// service has as many usable members as its `announce` asks for. A service that asks for none has
// no say. Called by the engine on the control thread; pure.
#pragma once

#include "dataplane/spec.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

namespace holdfast::control {

// A service as it counts for its VIPs.
struct OfferedService {
  std::vector<dataplane::VipPrefix> vips;
  // Members that take new flows of a family by their own; the last resort aside.
  std::size_t usable_v4 = 0;
  std::size_t usable_v6 = 0;
  std::uint32_t healthy = 1;  // how many of them it takes

  [[nodiscard]] std::size_t usable_for(const dataplane::VipPrefix& vip) const {
    return vip.address.is_v4() ? usable_v4 : usable_v6;
  }
  [[nodiscard]] bool is_ready(const dataplane::VipPrefix& vip) const {
    return usable_for(vip) >= healthy;
  }
};

std::set<dataplane::VipPrefix> ready_vips(std::span<const OfferedService> services);

}  // namespace holdfast::control
