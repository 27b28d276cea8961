// SPDX-License-Identifier: Apache-2.0
// What an operator ordered of the node as a whole, as the file `node` in control's directory: a
// JSON object, or nothing. Pure text here, the engine does the I/O.
#pragma once

#include "control/engine/orders.h"

#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::control {

// Empty: nothing is ordered.
std::string node_order_text(const std::optional<OrderStamp>& drained);
// The error says why the text is none.
std::expected<std::optional<OrderStamp>, std::string> read_node_order(std::string_view text);

}  // namespace holdfast::control
