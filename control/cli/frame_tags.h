// SPDX-License-Identifier: Apache-2.0
// VLAN tags for the frames that trace makes and for captures from above a VLAN.
#pragma once

#include "dataplane/vlan.h"

#include <cstddef>
#include <vector>

namespace holdfast::control {

// Puts a port's tags behind the frame's MAC addresses. Requires: an Ethernet header without tags.
void tag_frame(std::vector<std::byte>& frame, dataplane::VlanTags tags);

}  // namespace holdfast::control
