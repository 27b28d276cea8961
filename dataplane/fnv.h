// SPDX-License-Identifier: Apache-2.0
// FNV-1a (Fowler, Noll, Vo), 64 bits: tells a damaged record of the shared state from a whole one.
// It finds damage, not malice. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast::dataplane {

inline constexpr std::uint64_t kFnvStart = 0xcbf29ce484222325;

// Goes on from `hash` with these bytes.
constexpr std::uint64_t fnv1a(std::span<const std::byte> bytes, std::uint64_t hash = kFnvStart) {
  for (const std::byte byte : bytes) {
    hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace holdfast::dataplane
