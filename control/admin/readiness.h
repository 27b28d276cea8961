// SPDX-License-Identifier: Apache-2.0
// Whether traffic should be sent to this node: what /readyz and `holdfast health` answer. A node
// whose configuration on disk is not in force is ready all the same, since it forwards by the one
// before (/healthz tells of that). Pure.
#pragma once

#include "control/admin/operator.h"

#include <span>
#include <string>
#include <vector>

namespace holdfast::control {

// A worker whose loop did not come round for longer forwards nothing.
inline constexpr double kSilentSeconds = 1.0;
// The dataplane is asked twice a second.
inline constexpr double kUnansweredSeconds = 3.0;

// Why not, one sentence each; empty: it is.
std::vector<std::string> not_ready(const StatusView& status, std::span<const ServiceView> services);

}  // namespace holdfast::control
