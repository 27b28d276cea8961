// SPDX-License-Identifier: Apache-2.0
// Link types that `holdfast replay` takes. The pipeline works on Ethernet frames, so records of
// other link types get an Ethernet header in place of their own; 802.1Q tags stay as they are.
#pragma once

#include "control/cli/capture.h"
#include "dataplane/headers.h"
#include "dataplane/vlan.h"

#include <string>

namespace holdfast::control {

// Ethernet, raw IP, BSD loopback (two kinds), Linux "cooked" captures (two versions).
bool is_supported_link(LinkType link);
// "link type 127 cannot be replayed; Ethernet, ... can", for a note.
std::string unsupported_link(LinkType link);

// Replaces the record's link header by an Ethernet header with these addresses; a cooked capture's
// own source address is kept, and where the record says nothing of VLANs it gets the tags: it was
// captured above them. Ethernet records stay as they are. What is cut within its link header
// becomes an empty frame. Requires: is_supported_link(record.link).
void make_ethernet(CaptureRecord& record,
                   const dataplane::MacAddress& destination,
                   const dataplane::MacAddress& source,
                   dataplane::VlanTags tags = {});

}  // namespace holdfast::control
