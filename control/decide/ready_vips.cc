// SPDX-License-Identifier: Apache-2.0
// See ready_vips.h.
#include "control/decide/ready_vips.h"

namespace holdfast::control {

std::set<dataplane::VipPrefix> ready_vips(std::span<const OfferedService> services) {
  std::set<dataplane::VipPrefix> ready;
  for (const OfferedService& service : services) {
    ready.insert(service.vips.begin(), service.vips.end());
  }
  for (const OfferedService& service : services) {
    for (const dataplane::VipPrefix& vip : service.vips) {
      if (!service.is_ready(vip)) {
        ready.erase(vip);
      }
    }
  }
  return ready;
}

}  // namespace holdfast::control
