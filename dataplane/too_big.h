// SPDX-License-Identifier: Apache-2.0
// What becomes of a packet that is longer than the way carries: path MTU discovery's message to its
// sender (RFC 1191 §4, RFC 4443 §3.2), made in place on its frame, or a drop. Called by rewrite,
// before anything of the packet is changed. Pure; on the worker.
//
// Answered are TCP and UDP packets of IPv6, and of IPv4 with don't-fragment; one that may be
// fragmented is dropped, because nothing is fragmented here. The message comes from where the
// packet went, with TTL 64 and the MAC addresses swapped, tags kept: from the VIP to a client, in
// `nat` from the pool address to a member. It quotes the packet as it came, as far as that is
// contiguous, in at most 576 bytes (RFC 1812 §4.3.2.3) or 1280 (RFC 4443 §2.4). Headers are written
// in front of the quote, into the headroom: where there is none, the packet is dropped. Never
// answered are ICMP errors, later fragments and frames to a group's MAC address (RFC 1122 §3.2.2).
//
// The message is told after select: the first packet of a flow, if it is too big, has opened its
// flow as any other would, so that the shorter one which follows finds the same member.
#pragma once

#include "dataplane/worker_state.h"

#include <cstdint>

namespace holdfast::dataplane {

class Generation;

// Ends the slot: kReply (too_big_sent), or a drop as kMtu when it is not answered, or when the
// worker has sent as many as it may, for all or for this client (too_big_limited). `mtu` is the
// longest packet that the way carries, outer headers taken off; the message never says less than 68
// or, for IPv6, 1280. Always false. Requires: what stands behind the IP packet is cut.
bool refuse_too_big(Burst& burst,
                    Slot slot,
                    std::uint32_t mtu,
                    const Generation& generation,
                    WorkerState& state,
                    std::uint64_t now_ms);

}  // namespace holdfast::dataplane
