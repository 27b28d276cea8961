// SPDX-License-Identifier: Apache-2.0
// The clock of a pcapng interface: ticks of 10^-n or 2^-n seconds, shifted by whole seconds
// (options if_tsresol and if_tsoffset). Pure.
#pragma once

#include "control/cli/capture.h"

#include <cstdint>

namespace holdfast::control {

struct CaptureClock {
  bool binary = false;
  std::uint8_t exponent = 6;  // 0 to 127
  std::uint64_t offset = 0;   // seconds, two's complement

  // A value of if_tsresol: the highest bit tells the base.
  static constexpr CaptureClock from_option(std::uint8_t value) {
    return {.binary = (value & 0x80) != 0, .exponent = static_cast<std::uint8_t>(value & 0x7f)};
  }
  // Nanoseconds are cut, not rounded. Resolutions that 64 bits of ticks cannot fill give 0 seconds.
  [[nodiscard]] CaptureTime time_of(std::uint64_t ticks) const;
};

}  // namespace holdfast::control
