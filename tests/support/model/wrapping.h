// SPDX-License-Identifier: Apache-2.0
// The outer headers that the model expects around a packet: RFC 2003 and RFC 2473 (ipip), RFC 2784
// (gre), UDP with the packet behind it (gue, as Katran sends it) or with a list of further members
// between (as GitHub's glb-director sends it), RFC 7348 (vxlan); DSCP and ECN by RFC 6040. Pure;
// tests only.
#pragma once

#include "dataplane/spec.h"
#include "tests/support/model/reading.h"

#include <cstdint>
#include <vector>

namespace holdfast::testing {

// Where a tunnel leads, and whence.
struct TunnelTo {
  dataplane::Mode mode = dataplane::Mode::kIpip;
  dataplane::TunnelSpec spec;
  Address member;
  MacAddress inner_mac{};
  std::uint64_t hash = 0;     // of the flow
  std::vector<Address> hops;  // IPv4; of a list, which may be empty: spec.hops says if there is one
};

// Bytes between the link header and the packet.
std::size_t outer_size(const TunnelTo& to);

// Puts the packet behind its outer headers and an Ethernet header of which the type is set.
// Requires: nothing stands behind the packet.
void wrap(Arriving& frame, const Reading& reading, const TunnelTo& to);

}  // namespace holdfast::testing
