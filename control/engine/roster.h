// SPDX-License-Identifier: Apache-2.0
// The members of all services with what is known of each: admin state, judgement, disposition, and
// why. The engine owns the one roster and feeds it events; it answers what changed. It does no I/O
// and reads no clock, so that a reload can be tried on a copy. Control thread only.
#pragma once

#include "config/model.h"
#include "control/decide/decide.h"
#include "control/engine/orders.h"
#include "control/judge/damping.h"
#include "control/judge/hints.h"
#include "control/judge/judge.h"
#include "control/probe/check.h"
#include "control/probe/clock.h"
#include "control/probe/history.h"
#include "control/publish/forwarder.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

// A member that was down, or damped, for this long leaves the Maglev table.
inline constexpr std::chrono::seconds kDownForLong{10};

// Now, on both clocks: steady for what lasts, wall for what is written down.
struct Instant {
  Clock::TimePoint steady;
  std::int64_t unix_ms = 0;
};

// The end of a term that began at that moment of the wall clock, which may be past. A clock that
// was set back must not make a term endless.
Clock::TimePoint end_of(std::chrono::milliseconds term, std::int64_t since_unix_ms, Instant now);

// What an operator sees of a member; a change of it is a state change.
struct Shown {
  Admin admin = Admin::kEnabled;
  Health health = Health::kUnknown;
  Disposition disposition = Disposition::kKeep;
  bool operator==(const Shown& other) const {
    return admin_name(admin) == admin_name(other.admin) &&
           health_name(health) == health_name(other.health) && disposition == other.disposition;
  }
};

struct Member {
  config::Backend backend;
  std::optional<CheckSpec> check;  // nullopt: always up
  Thresholds thresholds;
  MemberState state() const { return {.admin = admin, .health = judgement.health}; }

  MemberOrders orders;
  Admin admin = Admin::kEnabled;
  Judgement judgement;
  Decision decision;  // as told to the dataplane
  Shown shown;
  std::string cause = "configured";
  Clock::TimePoint since;
  std::uint64_t changes = 0;
  Clock::TimePoint down_since;
  Penalty penalty;  // of its falls
  Hints hints;      // of its traffic
  // While it is down: since when another member has answered, and whether it has failed once more
  // after that.
  std::optional<Clock::TimePoint> others_answered;
  bool proved_dead = false;
  // When what was ordered goes on or ends by itself.
  Clock::TimePoint drain_ends = Clock::TimePoint::max();
  Clock::TimePoint state_expires = Clock::TimePoint::max();
  Clock::TimePoint weight_expires = Clock::TimePoint::max();

  // As the operator wants it, else the file.
  std::uint32_t weight() const { return orders.weight ? orders.weight->weight : backend.weight; }
};

// Whether a member takes new flows by its own; the last resort aside.
bool is_usable(const Member& member);

struct ServiceEntry {
  std::string name;
  config::Drain drain;
  config::MinCapacity min_capacity;
  Disposition when_down = Disposition::kAvoid;
  std::optional<DampingRule> damping;  // nullopt: falls have no penalty
  std::size_t undecided = 0;           // members that are down and not proved dead
  std::vector<Member> members;
  bool last_resort = false;
};

struct CheckEntry {
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  std::uint64_t voided = 0;
  ProbeResult last;
  History history;
};

// One line of the log, one disposition for the dataplane.
struct StateChange {
  std::string service;
  std::string backend;
  Shown before;
  Shown after;
  std::string cause;
};

struct MemberPlace {
  std::size_t service = 0;
  std::size_t member = 0;
  auto operator<=>(const MemberPlace&) const = default;
};

class Roster {
 public:
  Roster() = default;
  // The roster of `config`, keeping what `before` knows: a member with the same address keeps its
  // health, whatever became of its check; a changed address is a new, unknown member. Orders go by
  // name.
  Roster(const config::Config& config, const Roster& before, const Orders& orders, Instant now);

  [[nodiscard]] std::span<const ServiceEntry> services() const { return services_; }
  [[nodiscard]] const Member& at(MemberPlace place) const {
    return services_[place.service].members[place.member];
  }
  [[nodiscard]] MemberName name_of(MemberPlace place) const;
  [[nodiscard]] std::optional<MemberPlace> find(const MemberName& name) const;
  // "SERVICE/BACKEND", "BACKEND" in every service, "host:ADDRESS", "tier:SERVICE/N", "node".
  [[nodiscard]] std::vector<MemberPlace> resolve(std::string_view object) const;

  [[nodiscard]] std::set<CheckSpec> checks() const;
  [[nodiscard]] const CheckEntry* check(const CheckSpec& spec) const;
  [[nodiscard]] std::vector<ServiceDecision> decisions() const;

  // Takes over what a running dataplane shows for members whose health is still unknown.
  void adopt(const RunningState& running, Instant now);

  struct Outcome {
    std::vector<StateChange> changes;
    bool confirm = false;          // probe again soon
    bool weights_changed = false;  // the generation has to be rebuilt
  };
  // One probe result, for every member that stands on this check.
  Outcome apply(const CheckSpec& spec, const ProbeResult& result, Instant now);
  // The member's own traffic says that it fails: a suspect, if its check can tell otherwise, and if
  // such hints have been right lately. `confirm`: ask the check, now.
  Outcome suspect(MemberPlace place, const std::string& cause, Instant now);
  // The operator's verbs: `orders` are the member's from now on; an event comes with those of its
  // state, none with a weight.
  struct Order {
    std::optional<AdminEvent> event;
    MemberOrders orders;
    std::string cause;
    bool clears_penalty = false;  // and ends the damping, if there is one
  };
  Outcome apply(MemberPlace place, const Order& order, Instant now);
  // Passing time: members down for long, drains over.
  Outcome tick(Instant now);
  // Members with an order whose time to live is over.
  [[nodiscard]] std::vector<MemberPlace> expired(Instant now) const;
  // Decides anew for every service: after a reload or an adoption.
  Outcome settle(const std::string& cause, Instant now);

 private:
  static void take_over(Member& member,
                        const config::Service& service,
                        const Roster& before,
                        const Orders& orders,
                        Instant now);
  void adopt(Member& member, const RunningMember& running, std::uint32_t weight, Instant now);
  void judge_member(
      MemberPlace place, const CheckEntry& check, Evidence evidence, Instant now, Outcome& out);
  // Decides anew for one service. `event` is the member that something happened to, with the cause;
  // the others of the service get a cause of their own when they change with it.
  struct Event {
    std::optional<std::size_t> member;  // nullopt: the cause holds for all
    std::string cause;
  };
  void settle_service(std::size_t service, const Event& event, Instant now, Outcome& out);

  std::vector<ServiceEntry> services_;
  std::map<MemberName, MemberPlace> places_;
  struct Watched {
    CheckEntry entry;
    std::vector<MemberPlace> members;
  };
  std::map<CheckSpec, Watched> checks_;
};

// "L4 refused", "L7 status 503", "local error 24".
std::string describe(const ProbeResult& result);

}  // namespace holdfast::control
