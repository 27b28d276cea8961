// SPDX-License-Identifier: Apache-2.0
// Spreads an address over 64 bits, for open-addressed tables whose keys are the operator's or the
// kernel's: VIPs, prefixes, neighbours. No key: who chooses these may as well choose anything else;
// tables that clients fill use FlowHasher. Pure.
#pragma once

#include "dataplane/address.h"

#include <array>
#include <bit>
#include <cstdint>

namespace holdfast::dataplane {

// Of an address as two words in the order of memory, and a number that tells its uses apart. The
// bits in which IPv4 neighbours differ are the highest ones of a word, and nothing moves down in a
// product: hence both halves of a product of twice the width.
constexpr std::uint64_t mix_address(const std::array<std::uint64_t, 2>& words, std::uint32_t tag) {
  __extension__ using Wide = unsigned __int128;
  const Wide product =
      Wide{words[0] ^ tag ^ 0x9e3779b97f4a7c15U} * Wide{words[1] ^ 0xd6e8feb86659fd93U};
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

inline std::uint64_t mix_address(const Address& address, std::uint32_t tag) {
  return mix_address(std::bit_cast<std::array<std::uint64_t, 2>>(address.bytes), tag);
}

}  // namespace holdfast::dataplane
