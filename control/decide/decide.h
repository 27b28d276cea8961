// SPDX-License-Identifier: Apache-2.0
// From admin state and health to what the fast path does with a member: the tables, and the rules
// that need the whole service (last resort, how many suspects may be avoided at once). Called by
// the engine on the control thread after every event; pure.
//
//                enabled            draining   drained (deadline over, `then: reset`)
//   unknown      keep               keep       reset
//   up           new                keep       reset
//   suspect      avoid, or new (1)  keep       reset
//   down         avoid, or new (2)  keep       reset
//
// (1) A suspect is avoided while another member is up and at most max(1, a quarter) of the enabled
//     members are avoided for suspicion: many suspects at once accuse our own path to them.
// (2) Last resort: when every enabled member is down they all take new flows. If they are really
//     dead a client loses nothing by trying; if only the probes fail, the service goes on. A
//     draining member is never recruited, and a member that was never probed is waited for.
#pragma once

#include "control/judge/judge.h"
#include "dataplane/spec.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::control {

using dataplane::Disposition;

// What the operator wants of a member. Only verbs and the drain's deadline change it.
enum class Admin : std::uint8_t { kEnabled, kDraining, kDrained, kCount };
inline constexpr std::size_t kAdminCount = static_cast<std::size_t>(Admin::kCount);

// As operators see it: a drained member is still draining, until `undrain`.
constexpr std::string_view admin_name(Admin admin) {
  return admin == Admin::kEnabled ? "enabled" : "draining";
}

enum class AdminEvent : std::uint8_t { kDrain, kUndrain, kDeadline, kCount };
inline constexpr std::size_t kAdminEventCount = static_cast<std::size_t>(AdminEvent::kCount);

inline constexpr std::array<std::array<Admin, kAdminEventCount>, kAdminCount> kNextAdmin = {{
    //                 drain             undrain          deadline
    /* enabled  */ {{Admin::kDraining, Admin::kEnabled, Admin::kEnabled}},
    /* draining */ {{Admin::kDraining, Admin::kEnabled, Admin::kDrained}},
    /* drained  */ {{Admin::kDrained, Admin::kEnabled, Admin::kDrained}},
}};

constexpr Admin next_admin(Admin admin, AdminEvent event) {
  return kNextAdmin[std::to_underlying(admin)][std::to_underlying(event)];
}

inline constexpr std::array<std::array<Disposition, kAdminCount>, kHealthCount> kDispositions = {{
    //                enabled                draining            drained
    /* unknown */ {{Disposition::kKeep, Disposition::kKeep, Disposition::kReset}},
    /* up      */ {{Disposition::kNew, Disposition::kKeep, Disposition::kReset}},
    /* suspect */ {{Disposition::kAvoid, Disposition::kKeep, Disposition::kReset}},
    /* down    */ {{Disposition::kAvoid, Disposition::kKeep, Disposition::kReset}},
}};

constexpr Disposition disposition_of(Admin admin, Health health) {
  return kDispositions[std::to_underlying(health)][std::to_underlying(admin)];
}

// A member's two axes. Events of one never move the other.
struct MemberState {
  Admin admin = Admin::kEnabled;
  Health health = Health::kUnknown;

  [[nodiscard]] constexpr MemberState after(AdminEvent event) const {
    return {.admin = next_admin(admin, event), .health = health};
  }
  [[nodiscard]] constexpr MemberState after(HealthEvent event) const {
    return {.admin = admin, .health = next_health(health, event)};
  }
  [[nodiscard]] constexpr Disposition disposition() const { return disposition_of(admin, health); }
  constexpr bool operator==(const MemberState&) const = default;
};

static_assert(MemberState{.admin = Admin::kEnabled, .health = Health::kUp}
                      .after(AdminEvent::kDrain)
                      .after(HealthEvent::kFallen)
                      .after(HealthEvent::kRisen)
                      .disposition() == Disposition::kKeep,
              "a drain is not undone by a failure and a recovery");
static_assert(MemberState{.admin = Admin::kEnabled, .health = Health::kUp}
                      .after(HealthEvent::kFallen)
                      .after(AdminEvent::kDrain)
                      .after(AdminEvent::kUndrain)
                      .disposition() == Disposition::kAvoid,
              "a drain that is undone does not make a dead member live");
static_assert(MemberState{.admin = Admin::kEnabled, .health = Health::kUp}
                      .after(AdminEvent::kDrain)
                      .after(AdminEvent::kDeadline)
                      .after(AdminEvent::kDrain)
                      .disposition() == Disposition::kReset,
              "draining again does not give a drained member more time");
static_assert(MemberState{}.after(AdminEvent::kDrain).after(HealthEvent::kPass).disposition() ==
                  Disposition::kKeep,
              "a first good probe does not undo a drain");

// One member as decide() reads it.
struct MemberInput {
  MemberState state;
  std::uint32_t weight = 100;
  Disposition now = Disposition::kKeep;  // what it has, so that suspects do not take turns
  bool down_for_long = false;            // so long that it leaves the Maglev table
};

struct Decision {
  Disposition disposition = Disposition::kKeep;
  std::uint32_t weight = 0;  // in the Maglev table
  constexpr bool operator==(const Decision&) const = default;
};

struct ServiceDecision {
  std::vector<Decision> members;  // in the order of the inputs
  bool last_resort = false;
};

// The decisions for one service's members.
ServiceDecision decide(std::span<const MemberInput> members);

// How many of `enabled` members may be avoided on suspicion at once.
constexpr std::size_t suspects_allowed(std::size_t enabled) {
  return enabled / 4 > 1 ? enabled / 4 : 1;
}

}  // namespace holdfast::control
