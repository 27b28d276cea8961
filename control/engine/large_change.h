// SPDX-License-Identifier: Apache-2.0
// What a new configuration would take away at once and an operator rarely means to: more than half
// of a service's backends, or a service or a VIP of one that has or may have flows. Pure.
#pragma once

#include "config/model.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

// Flows of a service; nullopt: nobody can count them now.
using FlowsOf = std::function<std::optional<std::uint64_t>(std::string_view service)>;

// One sentence each, with the numbers; empty: nothing of that kind.
std::vector<std::string> large_changes(const config::Config& running,
                                       const config::Config& wanted,
                                       const FlowsOf& flows_of);

}  // namespace holdfast::control
