// SPDX-License-Identifier: Apache-2.0
// From the configuration and the decisions to what the dataplane is told. Pure; used by the engine,
// by `holdfast run` (start-up), and by trace and replay.
#pragma once

#include "config/model.h"
#include "control/decide/decide.h"
#include "control/publish/hash_key.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace holdfast::control {

dataplane::Address to_dataplane(const config::IpAddress& address);
dataplane::VipPrefix vip_prefix(const config::Vip& vip);
dataplane::AffinitySpec build_affinity(const config::Affinity& affinity);

// The whole forwarding state. Requires: `decisions` has one entry per service and, in each, one per
// backend, in the configuration's order.
dataplane::GenerationSpec build_generation(const config::Config& config,
                                           std::span<const ServiceDecision> decisions,
                                           std::uint64_t number);

// Decisions for a configuration whose backends are all enabled and up: what trace and replay use.
std::vector<ServiceDecision> all_up(const config::Config& config);

// By what Maglev permutes each backend: `ordered`, else its name. Where another one has taken that,
// a backend gets that one's name, so that two which change places leave all other slots alone.
// Requires: as many of both; no key is ordered twice.
std::vector<std::string> slot_keys(std::span<const std::string> names,
                                   std::span<const std::string> ordered);

// The tags of a port.
dataplane::VlanTags vlan_tags(const config::Vlan& vlan);

// What the dataplane process is started with.
dataplane::StartupSpec startup_spec(const config::Config& config, const HashKey& hash_key);

}  // namespace holdfast::control
