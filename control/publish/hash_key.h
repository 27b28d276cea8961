// SPDX-License-Identifier: Apache-2.0
// The secret that keys flow hashes and Maglev tables: read from `hash_key_file` (32 hex digits, the
// same on every node), or made once and kept in the dataplane's directory. Called before the
// dataplane starts; blocking.
#pragma once

#include "config/model.h"

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace holdfast::control {

using HashKey = std::array<std::uint8_t, 16>;

// The key of this configuration. A file that somebody else could have read or written is refused
// with a sentence that says what to do.
std::expected<HashKey, std::string> load_hash_key(const config::Dataplane& dataplane);

// Where a generated key is kept.
std::string hash_key_path(const config::Dataplane& dataplane);

// 32 hex digits, blanks around them ignored.
std::expected<HashKey, std::string> parse_hash_key(std::string_view text);

}  // namespace holdfast::control
