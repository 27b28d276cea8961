// SPDX-License-Identifier: Apache-2.0
// The dataplane's counters (protobuf) as the views of operator.h. Pure, any thread.
#pragma once

#include "control/admin/operator.h"
#include "dataplane.pb.h"
#include "dataplane/spec.h"

#include <string>

namespace holdfast::control {

// "10m /24 /56": the time and the prefixes of IPv4 and IPv6; empty without affinity.
std::string affinity_text(const dataplane::AffinitySpec& affinity);

// Empty: alone.
std::string role_text(std::uint32_t role);
WorkerView to_view(const seam::WorkerCounters& worker);
PortView to_view(const seam::PortCounters& port);
// A service as the dataplane knows it: name, mode, VIPs, ports, slots; no backends, no flows.
ServiceView to_view(const seam::Service& service);
MovesView to_view(const seam::ServiceMoves& moves);
FlowView to_view(const seam::Flow& flow);
// A member as the dataplane knows it: every counter is there, 0 when it was not sent. What control
// alone knows (health, cause, ...) stays empty.
BackendView to_view(const seam::MemberCounters& member);

}  // namespace holdfast::control
