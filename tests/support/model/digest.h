// SPDX-License-Identifier: Apache-2.0
// A number that stands for all that became of many frames, the same on every machine: builds for
// different processors that print the same one did the same. Tests only.
#pragma once

#include "tests/support/model/model.h"

#include <cstdint>
#include <string_view>

namespace holdfast::testing {

// FNV-1a, 64 bits.
class Digest {
 public:
  void add(const Foretold& fate) {
    number(static_cast<std::uint64_t>(fate.verdict));
    number(fate.reason ? 1 + static_cast<std::uint64_t>(*fate.reason) : 0);
    number(fate.port);
    number(fate.beyond);
    number(fate.backend.size());
    for (const char letter : fate.backend) {
      octet(static_cast<std::uint8_t>(letter));
    }
    number(fate.bytes.size());
    for (const std::uint8_t each : fate.bytes) {
      octet(each);
    }
  }
  void number(std::uint64_t value) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
      octet(static_cast<std::uint8_t>(value >> shift));
    }
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  void octet(std::uint8_t value) { value_ = (value_ ^ value) * 0x100000001b3; }

  std::uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace holdfast::testing
