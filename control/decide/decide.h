// SPDX-License-Identifier: Apache-2.0
// From admin state and health to what the fast path does with a member: the tables, and the rules
// that need the whole service (last resort, how many suspects may be avoided at once). Called by
// the engine on the control thread after every event; pure.
//
//                enabled            draining, maintenance, removed   drained
//   unknown      keep               keep                             reset
//   up           new                keep                             reset
//   suspect      avoid, or new (1)  keep                             reset
//   down (3)     avoid, or new (2)  keep                             reset
//   damped       avoid, or new (2)  keep                             reset
//
// A drain whose deadline is over is `drained` (`then: reset`) or `removed` (`then: remove`: out of
// the generation, the flows that are left live on); with `then: keep` it goes on. Maintenance is a
// drain without an end.
//
// (1) A suspect is avoided while another member is up, or damped, and at most max(1, a quarter) of
// the enabled
//     members are avoided for suspicion: many suspects at once accuse our own path to them.
// (2) Last resort: when no enabled member is up, those that are damped take new flows, for their
//     probes are good; when all are down they all do. If they are really dead a client loses
//     nothing by trying; if only the probes fail, the service goes on. A draining member is never
//     recruited, and a member that was never probed is waited for.
// (3) Once it has failed while another member answered (dead_members.h), what the service's
//     `on_down` says instead of avoid and keep, where that is not avoid.
#pragma once

#include "control/judge/judge.h"
#include "dataplane/spec.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::control {

using dataplane::Disposition;

// What the operator wants of a member. Only verbs and the drain's deadline change it.
enum class Admin : std::uint8_t { kEnabled, kDraining, kDrained, kRemoved, kMaintenance, kCount };
inline constexpr std::size_t kAdminCount = static_cast<std::size_t>(Admin::kCount);

// As operators see it: a drained member is still draining, until `undrain`.
inline constexpr std::array<std::string_view, kAdminCount> kAdminNames = {
    "enabled", "draining", "draining", "removed", "maintenance"};
constexpr std::string_view admin_name(Admin admin) {
  return kAdminNames[std::to_underlying(admin)];
}

// kReset, kRemove: a drain's deadline is over, by what follows it.
enum class AdminEvent : std::uint8_t { kDrain, kMaintain, kEnable, kReset, kRemove, kCount };
inline constexpr std::size_t kAdminEventCount = static_cast<std::size_t>(AdminEvent::kCount);

inline constexpr std::array<std::array<Admin, kAdminEventCount>, kAdminCount> kNextAdmin = [] {
  using enum Admin;
  return std::array<std::array<Admin, kAdminEventCount>, kAdminCount>{{
      //                   drain      maintain      enable    reset         remove
      /* enabled     */ {{kDraining, kMaintenance, kEnabled, kEnabled, kEnabled}},
      /* draining    */ {{kDraining, kMaintenance, kEnabled, kDrained, kRemoved}},
      /* drained     */ {{kDrained, kMaintenance, kEnabled, kDrained, kDrained}},
      /* removed     */ {{kRemoved, kMaintenance, kEnabled, kRemoved, kRemoved}},
      /* maintenance */ {{kDraining, kMaintenance, kEnabled, kMaintenance, kMaintenance}},
  }};
}();

constexpr Admin next_admin(Admin admin, AdminEvent event) {
  return kNextAdmin[std::to_underlying(admin)][std::to_underlying(event)];
}

inline constexpr std::array<std::array<Disposition, kAdminCount>, kHealthCount> kDispositions = [] {
  using enum Disposition;
  return std::array<std::array<Disposition, kAdminCount>, kHealthCount>{{
      //               enabled  draining  drained  removed  maintenance
      /* unknown */ {{kKeep, kKeep, kReset, kKeep, kKeep}},
      /* up      */ {{kNew, kKeep, kReset, kKeep, kKeep}},
      /* suspect */ {{kAvoid, kKeep, kReset, kKeep, kKeep}},
      /* down    */ {{kAvoid, kKeep, kReset, kKeep, kKeep}},
      /* damped  */ {{kAvoid, kKeep, kReset, kKeep, kKeep}},
  }};
}();

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
                      .after(AdminEvent::kEnable)
                      .disposition() == Disposition::kAvoid,
              "a drain that is undone does not make a dead member live");
static_assert(MemberState{.admin = Admin::kEnabled, .health = Health::kUp}
                      .after(AdminEvent::kDrain)
                      .after(AdminEvent::kReset)
                      .after(AdminEvent::kDrain)
                      .disposition() == Disposition::kReset,
              "draining again does not give a drained member more time");
static_assert(MemberState{}.after(AdminEvent::kDrain).after(HealthEvent::kPass).disposition() ==
                  Disposition::kKeep,
              "a first good probe does not undo a drain");

static_assert(MemberState{}
                      .after(AdminEvent::kDrain)
                      .after(HealthEvent::kFallen)
                      .after(HealthEvent::kHeld)
                      .after(HealthEvent::kRisen)
                      .disposition() == Disposition::kKeep,
              "the end of a damping does not undo a drain");
static_assert(MemberState{.admin = Admin::kMaintenance, .health = Health::kUp}
                      .after(HealthEvent::kFallen)
                      .after(HealthEvent::kRisen)
                      .disposition() == Disposition::kKeep,
              "health does not end a maintenance");
static_assert(MemberState{}
                      .after(AdminEvent::kDrain)
                      .after(AdminEvent::kMaintain)
                      .after(AdminEvent::kReset)
                      .disposition() == Disposition::kKeep,
              "a maintenance has no deadline, also where it began as a drain");

// One member as decide() reads it.
struct MemberInput {
  MemberState state;
  std::uint32_t weight = 100;
  Disposition now = Disposition::kKeep;  // what it has, so that suspects do not take turns
  bool down_for_long = false;            // or damped; so long that it leaves the Maglev table
  bool proved_dead = false;              // has failed while another member answered
};

struct Decision {
  Disposition disposition = Disposition::kKeep;
  std::uint32_t weight = 0;  // in the Maglev table
  bool in_generation = true;
  std::string slots{};  // the key of the slots that it took over; empty: its own
  constexpr bool operator==(const Decision&) const = default;
};

struct ServiceDecision {
  std::vector<Decision> members;  // in the order of the inputs
  bool last_resort = false;
};

// Whether a service's `on_down` has a say in what becomes of a member's flows.
constexpr bool is_dead(MemberState state) {
  return state.health == Health::kDown && state.admin != Admin::kRemoved &&
         state.admin != Admin::kDrained;
}

// The decisions for one service's members. `when_down`: of one that is proved dead; kAvoid, or
// one with which its flows go.
ServiceDecision decide(std::span<const MemberInput> members,
                       Disposition when_down = Disposition::kAvoid);

// How many of `enabled` members may be avoided on suspicion at once.
constexpr std::size_t suspects_allowed(std::size_t enabled) {
  return enabled / 4 > 1 ? enabled / 4 : 1;
}

}  // namespace holdfast::control
