// SPDX-License-Identifier: Apache-2.0
// Bytes of the model's packets: parts of them, numbers in network order, and what becomes of a
// checksum when bytes that it covers change. Pure; tests only.
#pragma once

#include "tests/support/packet.h"

#include <cstddef>
#include <cstdint>

namespace holdfast::testing {

// Requires: at + 2 <= bytes.size(). Of a larger value the lower 16 bits count.
void put16(Bytes& bytes, std::size_t at, std::size_t value);

// Bytes [begin, end).
Bytes part(const Bytes& bytes, std::size_t begin, std::size_t end);
Bytes joined(Bytes first, const Bytes& second);

// RFC 1071.
std::uint16_t checksum_of(const Bytes& bytes);

// RFC 1624 eqn. 3: the checksum after the bytes `before` have become `after`.
std::uint16_t carried(std::uint16_t checksum, const Bytes& before, const Bytes& after);

}  // namespace holdfast::testing
