// SPDX-License-Identifier: Apache-2.0
// The supervisor's log: one key=value line per event on standard error.
#pragma once

#include <string_view>

namespace holdfast::control {

// `child` may be empty: an event of the supervisor itself.
void log_event(std::string_view event, std::string_view child, std::string_view detail);

}  // namespace holdfast::control
