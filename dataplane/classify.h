// SPDX-License-Identifier: Apache-2.0
// Stage 3 of 7: classify. Whose is this frame?
//   reads: frame, kind, fault, tags, key    writes: tagged, service, binding, direction
//   may hold (fragments.h)
//   drops: kMartian (group MAC), kOwnEgress, kNotOurMac, kNoService, kVlanUnknown,
//          kVipSource (echo, ICMP errors), kBadChecksum (echo), fault[i], those of fragments.h
// A packet for a VIP's port goes on towards a member, one for a pool address towards its client. An
// ICMP error about such a packet's flow is put aside, for find_error_flows().
// A frame with the tags of its port counts as untagged; one with others, or without where the port
// has some, is dropped as vlan_unknown when it is for an address of ours, else it is the kernel's.
// Answers keep the tags of their question. Pings are answered here, and ARP and neighbour discovery
// on the ports where the address is on-link; everything else that is not for an address of ours
// belongs to the kernel, faulty or not.
#pragma once

#include "dataplane/pipeline.h"

namespace holdfast::dataplane {

void classify(Burst& burst, const Forwarding& forwarding, WorkerState& state, std::uint64_t now_ms);

}  // namespace holdfast::dataplane
