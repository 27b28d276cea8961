// SPDX-License-Identifier: Apache-2.0
// Ticks to seconds and nanoseconds without overflow, whatever the resolution.
#include "control/cli/capture_clock.h"

namespace holdfast::control {
namespace {

constexpr std::uint64_t kBillion = 1'000'000'000;
constexpr unsigned kMostDecimalDigits = 19;  // 10^19 < 2^64 < 10^20

// Requires: exponent <= kMostDecimalDigits.
constexpr std::uint64_t power_of_ten(unsigned exponent) {
  std::uint64_t result = 1;
  for (; exponent > 0; --exponent) {
    result *= 10;
  }
  return result;
}

CaptureTime decimal_time(std::uint64_t ticks, unsigned exponent) {
  if (exponent > kMostDecimalDigits) {
    const unsigned cut = exponent - 9;
    return {.seconds = 0,
            .nanoseconds = cut > kMostDecimalDigits
                               ? 0
                               : static_cast<std::uint32_t>(ticks / power_of_ten(cut))};
  }
  const std::uint64_t second = power_of_ten(exponent);
  const std::uint64_t rest = ticks % second;
  const std::uint64_t nanoseconds =
      exponent <= 9 ? rest * power_of_ten(9 - exponent) : rest / power_of_ten(exponent - 9);
  return {.seconds = ticks / second, .nanoseconds = static_cast<std::uint32_t>(nanoseconds)};
}

// 30 bits of a fraction are finer than a nanosecond and leave room for the product.
CaptureTime binary_time(std::uint64_t ticks, unsigned exponent) {
  if (exponent <= 30) {
    const std::uint64_t rest = ticks & ((std::uint64_t{1} << exponent) - 1);
    return {.seconds = ticks >> exponent,
            .nanoseconds = static_cast<std::uint32_t>((rest * kBillion) >> exponent)};
  }
  const unsigned cut = exponent - 30;
  return binary_time(cut < 64 ? ticks >> cut : 0, 30);
}

}  // namespace

CaptureTime CaptureClock::time_of(std::uint64_t ticks) const {
  CaptureTime time = binary ? binary_time(ticks, exponent) : decimal_time(ticks, exponent);
  time.seconds += offset;
  return time;
}

}  // namespace holdfast::control
