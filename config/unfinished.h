// SPDX-License-Identifier: Apache-2.0
// Where the parser ran out of patience: it only tells the last thing that it understood, which may
// stand lines before what has no end. Used by tree.cc only; pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace holdfast::config {

// Offset of the first quoted text at or behind `from` that goes on for more than `longest` bytes or
// to the end; nullopt: there is none. Comments are passed over. Requires: `from` is not inside a
// quoted text. O(text).
std::optional<std::size_t> find_long_quote(std::string_view text,
                                           std::size_t from,
                                           std::size_t longest);

}  // namespace holdfast::config
