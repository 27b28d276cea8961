// SPDX-License-Identifier: Apache-2.0
// Which bytes of a file are printable text. Used when a file is read and when it is shown; pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace holdfast::config {

// Length in bytes of the well-formed UTF-8 character at `at` (RFC 3629: no overlong forms, no
// surrogates), 0 when there is none. Control characters count as none, C1 too: terminals obey them.
// Requires: at < text.size().
std::size_t printable_length(std::string_view text, std::size_t at);

// The next place from `at` on where a character starts.
std::size_t character_boundary(std::string_view text, std::size_t at);

}  // namespace holdfast::config
