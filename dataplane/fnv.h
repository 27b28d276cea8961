// SPDX-License-Identifier: Apache-2.0
// FNV-1a (Fowler, Noll, Vo), 64 bits: for what has to tell damage or to spread, and not to
// withstand anybody. Both processes; pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace holdfast::dataplane {

inline constexpr std::uint64_t kFnvStart = 0xcbf29ce484222325;
inline constexpr std::uint64_t kFnvPrime = 0x100000001b3;

// Goes on from `hash` with these bytes.
constexpr std::uint64_t fnv1a(std::span<const std::byte> bytes, std::uint64_t hash = kFnvStart) {
  for (const std::byte byte : bytes) {
    hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * kFnvPrime;
  }
  return hash;
}
inline std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = kFnvStart) {
  return fnv1a(std::as_bytes(std::span(text)), hash);
}

}  // namespace holdfast::dataplane
