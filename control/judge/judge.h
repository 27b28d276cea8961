// SPDX-License-Identifier: Apache-2.0
// From probe results to health: what a result proves, streaks against rise and fall, and the table
// of health states. One state per member. Pure; the engine feeds it on the control thread.
//
// A failure that nobody could mistake (refused, reset, unreachable) is definitive: a second one in
// a row is enough. Any other failure is ambiguous and counts towards `fall`. After a failure that
// has not settled the matter the caller probes again 50 ms later instead of a whole interval.
//
// A member that falls again and again is held back when it rises (damping.h): it is `damped` until
// its penalty has faded, and taken up by its next good probe then.
#pragma once

#include "control/probe/result.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

namespace holdfast::control {

enum class Health : std::uint8_t {
  kUnknown,  // not probed yet
  kUp,
  kSuspect,  // up, but its last probe failed
  kDown,
  kDamped,  // has risen, but fell too often lately
  kCount
};
inline constexpr std::size_t kHealthCount = static_cast<std::size_t>(Health::kCount);

// As operators see it: unknown, up, down, damped. A suspect is up until it is down.
constexpr std::string_view health_name(Health health) {
  constexpr std::array<std::string_view, kHealthCount> kNames = {
      "unknown", "up", "up", "down", "damped"};
  return kNames[std::to_underlying(health)];
}

enum class Evidence : std::uint8_t { kPass, kDefinitive, kAmbiguous, kVoid };

// What a result proves. Late by more than half the timeout, or failed locally: nothing.
constexpr Evidence evidence_of(const ProbeResult& result, std::chrono::nanoseconds timeout) {
  if (result.layer == Layer::kLocal || result.lateness > timeout / 2) {
    return Evidence::kVoid;
  }
  switch (result.reason) {
    case Reason::kOk:
      return Evidence::kPass;
    case Reason::kRefused:
    case Reason::kReset:
    case Reason::kUnreachable:
      return Evidence::kDefinitive;
    default:
      return Evidence::kAmbiguous;
  }
}

// What a streak amounts to.
enum class HealthEvent : std::uint8_t {
  kPass,    // a pass, fewer than `rise` in a row
  kRisen,   // at least `rise` passes in a row
  kHeld,    // the same, while its penalty holds the member back
  kFail,    // a failure, not yet enough
  kFallen,  // `fall` failures in a row, or two definitive ones
  kCount
};
inline constexpr std::size_t kHealthEventCount = static_cast<std::size_t>(HealthEvent::kCount);

inline constexpr std::array<std::array<Health, kHealthEventCount>, kHealthCount> kNextHealth = [] {
  using enum Health;
  return std::array<std::array<Health, kHealthEventCount>, kHealthCount>{{
      //             pass     risen  held     fail      fallen
      /* unknown */ {{kUp, kUp, kUp, kUnknown, kDown}},
      /* up      */ {{kUp, kUp, kUp, kSuspect, kDown}},
      /* suspect */ {{kUp, kUp, kUp, kSuspect, kDown}},
      /* down    */ {{kDown, kUp, kDamped, kDown, kDown}},
      /* damped  */ {{kDamped, kUp, kDamped, kDamped, kDown}},
  }};
}();

constexpr Health next_health(Health health, HealthEvent event) {
  return kNextHealth[std::to_underlying(health)][std::to_underlying(event)];
}

static_assert(next_health(Health::kUnknown, HealthEvent::kPass) == Health::kUp,
              "a new member takes traffic after its first good probe");
static_assert(next_health(Health::kDown, HealthEvent::kPass) == Health::kDown,
              "one good probe does not bring a dead member back");
static_assert(next_health(Health::kUp, HealthEvent::kFail) == Health::kSuspect,
              "one failure makes a suspect, not a dead member");
static_assert(next_health(next_health(Health::kDown, HealthEvent::kHeld), HealthEvent::kPass) ==
                  Health::kDamped,
              "a damped member is not taken up before its penalty has faded");
static_assert(next_health(Health::kUp, HealthEvent::kHeld) == Health::kUp,
              "a penalty takes nothing from a member that is up");

struct Thresholds {
  std::uint32_t rise = 3;
  std::uint32_t fall = 3;
};
inline constexpr std::uint32_t kDefinitiveFall = 2;

// A member's health and the streak that it stands on.
struct Judgement {
  Health health = Health::kUnknown;
  std::uint32_t passes = 0;      // in a row
  std::uint32_t failures = 0;    // in a row
  std::uint32_t definitive = 0;  // in a row, without an ambiguous one between
  bool confirm = false;          // the last failure wants another probe soon
  bool held = false;             // by its penalty, for the next result; the caller knows

  [[nodiscard]] constexpr std::uint32_t streak() const { return passes + failures; }
  constexpr bool operator==(const Judgement&) const = default;
};

// The judgement after one more result. A void result changes nothing; it only asks again when a
// confirmation was pending.
constexpr Judgement judge(Judgement before, Evidence evidence, Thresholds thresholds) {
  if (evidence == Evidence::kVoid) {
    return before;
  }
  Judgement after = before;
  if (evidence == Evidence::kPass) {
    after.passes = before.passes + 1;
    after.failures = 0;
    after.definitive = 0;
    after.confirm = false;
    const HealthEvent risen = before.held ? HealthEvent::kHeld : HealthEvent::kRisen;
    after.health =
        next_health(before.health, after.passes >= thresholds.rise ? risen : HealthEvent::kPass);
    return after;
  }
  after.passes = 0;
  after.failures = before.failures + 1;
  after.definitive = evidence == Evidence::kDefinitive ? before.definitive + 1 : 0;
  const bool fallen = after.failures >= thresholds.fall || after.definitive >= kDefinitiveFall;
  after.health = next_health(before.health, fallen ? HealthEvent::kFallen : HealthEvent::kFail);
  after.confirm = after.health != Health::kDown;
  return after;
}

}  // namespace holdfast::control
