// SPDX-License-Identifier: Apache-2.0
// Which VIPs of the registry have a route, as control last said it: a mark on their bindings, so
// that it lives in the shared state and a restarted process offers the same ones at once. A VIP
// that is no longer bound has none, whatever was said. Main thread.
#pragma once

#include "dataplane/registry.h"
#include "dataplane/spec.h"

#include <cstddef>
#include <set>

namespace holdfast::dataplane {

// Marks the active bindings of these VIPs, and no others. Returns how many of the VIPs have one.
std::size_t set_routed(const BindingRegistry& bindings, const std::set<VipPrefix>& vips);

// The VIPs with a marked active binding.
std::set<VipPrefix> routed_vips(const BindingRegistry& bindings);

// Takes the marks of bindings that are not active, so that one that comes back waits for control.
void forget_unbound_routes(const BindingRegistry& bindings);

}  // namespace holdfast::dataplane
