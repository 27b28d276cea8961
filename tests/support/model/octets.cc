// SPDX-License-Identifier: Apache-2.0
// See octets.h.
#include "tests/support/model/octets.h"

#include <utility>

namespace holdfast::testing {

void put16(Bytes& bytes, std::size_t at, std::size_t value) {
  bytes.at(at) = static_cast<std::uint8_t>(value / 256 % 256);
  bytes.at(at + 1) = static_cast<std::uint8_t>(value % 256);
}

Bytes part(const Bytes& bytes, std::size_t begin, std::size_t end) {
  return {bytes.begin() + static_cast<std::ptrdiff_t>(begin),
          bytes.begin() + static_cast<std::ptrdiff_t>(end)};
}

Bytes joined(Bytes first, const Bytes& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

std::uint16_t checksum_of(const Bytes& bytes) {
  return static_cast<std::uint16_t>(~ones_complement_sum(bytes));
}

std::uint16_t carried(std::uint16_t checksum, const Bytes& before, const Bytes& after) {
  Bytes words(2);
  put16(words, 0, static_cast<std::uint16_t>(~checksum));
  for (const std::uint8_t byte : before) {
    words.push_back(static_cast<std::uint8_t>(~byte));
  }
  return checksum_of(joined(std::move(words), after));
}

}  // namespace holdfast::testing
