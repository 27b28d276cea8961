// SPDX-License-Identifier: Apache-2.0
// ICMP errors as the model reads and writes them, from RFC 792, 4443, 4884 and 5508 and the
// contract of dataplane/icmp_error.h. Pure; tests only.
#pragma once

#include "tests/support/model/writing.h"

#include <cstdint>
#include <optional>

namespace holdfast::testing {

// Destination unreachable, time exceeded, parameter problem, and packet too big of ICMPv6.
bool is_error_type(std::uint8_t type, bool v4);

// Steps 16 to 23 of parse.h: completes the reading, or says what is wrong.
// Requires: eight bytes of ICMP are there.
std::optional<Drop> read_error(const Bytes& bytes, Reading& reading);

// Replaces what the receiver must not see. `ends` are those of the flow's packets that go the same
// way. Requires: shape kError, TTL > 1.
void translate_error(Arriving& frame, const Reading& reading, const Ends& ends, bool to_client);

}  // namespace holdfast::testing
