// SPDX-License-Identifier: Apache-2.0
// What a parsed JSON object no longer tells: whether its text had a key twice, of which Boost keeps
// the last. Pure.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace holdfast::control {

// The first key of the outermost object that is there a second time, escapes resolved; nullopt when
// each is there once. Of text that is no JSON only what comes before its fault is looked at.
std::optional<std::string> repeated_key(std::string_view text);

// The field as text. The value says what is wrong with it, or nothing. Control characters would
// forge lines in the log.
std::string read_text(const boost::json::value& value,
                      std::string_view key,
                      std::size_t limit,
                      std::string& text);

// A verb's body, without repeated keys; or what is wrong with it.
std::expected<boost::json::object, std::string> parse_body(const std::string& body);

}  // namespace holdfast::control
