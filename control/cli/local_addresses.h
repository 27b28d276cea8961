// SPDX-License-Identifier: Apache-2.0
// The addresses that this machine's interfaces have, for the rule that none of them is a VIP or in
// the nat pool (config/local_address.h). Asked by `check`, and by `control` at its start.
#pragma once

#include "config/local_address.h"

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

// The error is the kernel's reason.
std::expected<std::vector<config::LocalAddress>, std::string> load_local_addresses();

// What is said when they cannot be read, for `reason`: nothing is refused then.
std::string unread_addresses_text(std::string_view reason);

}  // namespace holdfast::control
