// SPDX-License-Identifier: Apache-2.0
// Address prefixes as the pipeline names them: an address and the number of its leading bits that
// count, over the 16 bytes of an Address, so that both families are masked alike: an IPv4 /n has
// 96 + n. Pure, any thread.
#pragma once

#include "dataplane/address.h"

#include <array>
#include <bit>
#include <cstdint>
#include <string>

namespace holdfast::dataplane {

inline constexpr std::uint8_t kWholeAddress = 128;  // bits of a prefix that is a single address
inline constexpr std::uint8_t kMappedBits = 96;     // before an IPv4 address

using AddressWords = std::array<std::uint64_t, 2>;  // as they stand in memory

// Ones in the leading `bits`. Requires: bits <= 128.
constexpr AddressWords mask_of(unsigned bits) {
  const auto word = [](unsigned ones) {
    const std::uint64_t host = ones == 0    ? 0
                               : ones >= 64 ? ~std::uint64_t{0}
                                            : ~(~std::uint64_t{0} >> ones);
    return BigEndian<std::uint64_t>::from_host(host).wire();
  };
  return {word(bits), word(bits < 64 ? 0 : bits - 64)};
}

constexpr AddressWords masked(const Address& address, const AddressWords& mask) {
  const auto words = std::bit_cast<AddressWords>(address.bytes);
  return {words[0] & mask[0], words[1] & mask[1]};
}

// The address with all bits behind the leading ones cleared.
constexpr Address masked(const Address& address, unsigned bits) {
  return {std::bit_cast<std::array<std::uint8_t, 16>>(masked(address, mask_of(bits)))};
}

// The last address of the prefix. Requires: no bit is set behind the leading ones.
constexpr Address last_of(const Address& prefix, unsigned bits) {
  const auto words = std::bit_cast<AddressWords>(prefix.bytes);
  const AddressWords mask = mask_of(bits);
  const AddressWords last = {words[0] | ~mask[0], words[1] | ~mask[1]};
  return {std::bit_cast<std::array<std::uint8_t, 16>>(last)};
}

constexpr bool holds(const Address& prefix, unsigned bits, const Address& address) {
  return masked(address, bits) == prefix;
}

// "203.0.113.0/24", "2001:db8::/32"; a single address without its length.
inline std::string prefix_text(const Address& prefix, unsigned bits) {
  if (bits == kWholeAddress) {
    return prefix.text();
  }
  return prefix.text() + "/" + std::to_string(prefix.is_v4() ? bits - kMappedBits : bits);
}

}  // namespace holdfast::dataplane
