// SPDX-License-Identifier: Apache-2.0
// What a parsed JSON object no longer tells: whether its text had a key twice, of which Boost keeps
// the last. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace holdfast::control {

// The first key of the outermost object that is there a second time, escapes resolved; nullopt when
// each is there once. Of text that is no JSON only what comes before its fault is looked at.
std::optional<std::string> repeated_key(std::string_view text);

}  // namespace holdfast::control
