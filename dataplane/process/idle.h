// SPDX-License-Identifier: Apache-2.0
// How a worker rests between two turns that found nothing: look again at once, then with a pause
// for the core's other thread, then naps that grow, then a wait that the ports end. The figures
// behind the steps are in docs/ports.md. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

namespace holdfast::dataplane {

enum class RestKind : std::uint8_t {
  kPoll,   // none
  kPause,  // one instruction
  kNap,    // sleep; other workers and the kernel's thread end it
  kWait,   // as kNap, and what ports can tell ends it too
};

struct Rest {
  RestKind kind = RestKind::kPoll;
  std::uint32_t most_ns = 0;  // of kNap and kWait
  bool operator==(const Rest&) const = default;
};

inline constexpr std::uint32_t kTurnsWithoutPause = 16;
inline constexpr std::uint32_t kTurnsWithoutSleep = 64;
inline constexpr std::uint32_t kShortestNapNs = 20'000;
// The most that a frame waits for in a port that tells nothing.
inline constexpr std::uint32_t kLongestNapNs = 100'000;
inline constexpr std::uint32_t kTurnsPerNapStep = 16;
inline constexpr std::uint32_t kNapSteps = 8;  // together 10 ms: beyond, waking is cheaper
inline constexpr std::uint32_t kTurnsUntilWait =
    kTurnsWithoutSleep + kTurnsPerNapStep * kNapSteps + 1;
// Held frames are released and flow tables swept meanwhile.
inline constexpr std::uint32_t kLongestWaitForFramesNs = 1'000'000;

// What ports can tell.
enum class Told : std::uint8_t {
  kNotAll,  // some have to be looked into
  kAll,     // each of them ends a wait
};

// After that many turns in a row that found nothing, at least one.
constexpr Rest rest_after(std::uint32_t empty_turns, Told told) {
  if (empty_turns <= kTurnsWithoutPause) {
    return {};
  }
  if (empty_turns <= kTurnsWithoutSleep) {
    return {.kind = RestKind::kPause};
  }
  const std::uint32_t step = (empty_turns - kTurnsWithoutSleep - 1) / kTurnsPerNapStep;
  if (step < kNapSteps) {
    return {.kind = RestKind::kNap,
            .most_ns = std::min(kShortestNapNs * (step + 1), kLongestNapNs)};
  }
  return {.kind = RestKind::kWait,
          .most_ns = told == Told::kAll ? kLongestWaitForFramesNs : kLongestNapNs};
}

}  // namespace holdfast::dataplane
