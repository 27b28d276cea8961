// SPDX-License-Identifier: Apache-2.0
// See verb_plan.h.
#include "control/engine/verb_plan.h"

#include "config/scalar.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace holdfast::control {
namespace {

using config::duration_text;

// What is left of a service.
struct Capacity {
  std::size_t members = 0;
  std::uint64_t weight = 0;
};

Capacity capacity_of(std::span<const Member> members) {
  Capacity capacity;
  for (const Member& member : members) {
    if (is_usable(member)) {
      ++capacity.members;
      capacity.weight += member.weight();
    }
  }
  return capacity;
}

std::uint64_t configured_weight(std::span<const Member> members) {
  std::uint64_t sum = 0;
  for (const Member& member : members) {
    sum += member.backend.weight;
  }
  return sum;
}

bool is_enough(const config::MinCapacity& floor, const Capacity& left, std::uint64_t configured) {
  return left.members >= floor.members && left.weight * 100 >= configured * floor.percent;
}

std::string floor_text(const config::MinCapacity& floor) {
  return floor.percent != 0 ? std::to_string(floor.percent) + "%" : std::to_string(floor.members);
}

std::string objection(const ServiceEntry& service, const Capacity& left, std::uint64_t configured) {
  return "service " + service.name + " would be left with " + std::to_string(left.members) +
         " of " + std::to_string(service.members.size()) +
         " members that are up, enabled and have a weight (weight " + std::to_string(left.weight) +
         " of " + std::to_string(configured) + "); its min_capacity is " +
         floor_text(service.min_capacity);
}

std::string ttl_text(std::chrono::milliseconds ttl) {
  return ttl.count() == 0 ? "" : ", and ends by itself after " + duration_text(ttl);
}

// Plans one verb for one member after the other.
class Planner {
 public:
  Planner(const AdminRequest& request, std::int64_t unix_ms)
      : request_(request),
        stamp_{.since_unix_ms = unix_ms,
               .ttl = request.ttl,
               .who = request.caller.who,
               .reason = request.caller.reason} {}

  void plan(const Member& member, const MemberName& name, const config::Drain& terms) {
    change_ = {.name = name,
               .before = member.orders,
               .order = {.event = std::nullopt, .orders = member.orders, .cause = cause()},
               .line = ""};
    switch (request_.verb) {
      case AdminVerb::kDrain:
        return drain(member, terms);
      case AdminVerb::kUndrain:
        return undrain(member);
      case AdminVerb::kMaintenance:
        return maintain(member);
      case AdminVerb::kEnable:
        return enable(member);
      case AdminVerb::kClearDamping:
        return clear(member);
      case AdminVerb::kWeight:
      case AdminVerb::kMigrate:
      case AdminVerb::kCount:
        return weigh(member);
    }
  }

  VerbPlan result;

 private:
  [[nodiscard]] std::string cause() const {
    const std::string& reason = request_.caller.reason;
    return std::string(verb_name(request_.verb)) + (reason.empty() ? "" : ": " + reason);
  }
  void already(const std::string& how) {
    result.lines.push_back(label(change_.name) + " is " + how + " already");
  }
  void set(AdminEvent event, std::optional<StateOrder> state, std::string line) {
    change_.order.event = event;
    change_.order.orders.state = std::move(state);
    change_.line = std::move(line);
    result.changes.push_back(std::move(change_));
  }
  void drain(const Member& member, config::Drain terms) {
    const bool said = request_.deadline || request_.then || request_.ttl.count() != 0;
    const bool over = member.admin == Admin::kDrained || member.admin == Admin::kRemoved;
    if (over || (member.admin == Admin::kDraining && !said)) {
      return already(std::string(admin_name(member.admin)));
    }
    terms.deadline = request_.deadline.value_or(terms.deadline);
    terms.then = request_.then.value_or(terms.then);
    set(AdminEvent::kDrain,
        StateOrder{.maintenance = false, .stamp = stamp_, .drain = terms},
        "draining: " + terms_text(terms) + ttl_text(request_.ttl));
  }
  void maintain(const Member& member) {
    if (member.admin == Admin::kMaintenance && request_.ttl.count() == 0) {
      return already("in maintenance");
    }
    set(AdminEvent::kMaintain,
        StateOrder{.maintenance = true, .stamp = stamp_, .drain = {}},
        "in maintenance: established flows live on" + ttl_text(request_.ttl));
  }
  void undrain(const Member& member) {
    if (member.admin == Admin::kMaintenance) {
      result.outcome = Outcome::kRefused;
      result.lines.push_back(label(change_.name) +
                             " is in maintenance, which `holdfast enable` ends");
      return;
    }
    enable(member);
  }
  void enable(const Member& member) {
    if (member.admin == Admin::kEnabled) {
      return already("enabled");
    }
    set(AdminEvent::kEnable, std::nullopt, "enabled");
  }
  void clear(const Member& member) {
    if (member.penalty == Penalty()) {
      result.lines.push_back(label(change_.name) + " has no penalty");
      return;
    }
    const bool damped = member.judgement.health == Health::kDamped;
    change_.order.clears_penalty = true;
    change_.line = damped ? "up, without its penalty" : "without its penalty";
    result.changes.push_back(std::move(change_));
  }
  void weigh(const Member& member) {
    const std::optional<std::uint32_t> before =
        member.orders.weight ? std::optional(member.orders.weight->weight) : std::nullopt;
    const std::uint32_t weight = request_.weight.value_or(member.backend.weight);
    const std::string of_file = std::to_string(member.backend.weight);
    if (before == request_.weight && request_.ttl.count() == 0) {
      return already("of weight " + std::to_string(weight));
    }
    change_.order.orders.weight = std::nullopt;
    change_.line = "of weight " + of_file + ", as in the file";
    if (request_.weight) {
      change_.order.orders.weight = WeightOrder{.weight = weight, .stamp = stamp_};
      change_.line = "of weight " + std::to_string(weight) + ", where the file says " + of_file +
                     ttl_text(request_.ttl);
    }
    result.changes.push_back(std::move(change_));
  }

  const AdminRequest& request_;
  OrderStamp stamp_;
  PlannedChange change_;
};

}  // namespace

std::string terms_text(const config::Drain& drain) {
  if (drain.then == config::DrainEnd::kKeep) {
    return "established flows live on";
  }
  return "established flows live on, after " + duration_text(drain.deadline) +
         (drain.then == config::DrainEnd::kReset ? " they are reset"
                                                 : " the member leaves the service");
}

std::vector<std::string> capacity_objections(const Roster& roster,
                                             std::span<const PlannedChange> changes) {
  std::map<std::size_t, std::vector<Member>> after;  // by service
  for (const PlannedChange& change : changes) {
    const auto place = roster.find(change.name);
    if (!place) {
      continue;
    }
    const ServiceEntry& service = roster.services()[place->service];
    Member& member =
        after.try_emplace(place->service, service.members).first->second[place->member];
    member.orders = change.order.orders;
    member.admin =
        change.order.event ? next_admin(member.admin, *change.order.event) : member.admin;
  }
  std::vector<std::string> objections;
  for (const auto& [index, members] : after) {
    const ServiceEntry& service = roster.services()[index];
    const Capacity before = capacity_of(service.members);
    const Capacity left = capacity_of(members);
    const std::uint64_t configured = configured_weight(members);
    const bool takes = left.members < before.members || left.weight < before.weight;
    if (takes && !is_enough(service.min_capacity, left, configured)) {
      objections.push_back(objection(service, left, configured));
    }
  }
  return objections;
}

VerbPlan plan_verb(const Roster& roster, const AdminRequest& request, std::int64_t unix_ms) {
  if (request.verb == AdminVerb::kMigrate) {
    return plan_migration(roster, request, unix_ms);
  }
  Planner planner(request, unix_ms);
  VerbPlan& plan = planner.result;
  std::set<MemberPlace> meant;
  for (const std::string& object : request.objects) {
    const std::vector<MemberPlace> places = roster.resolve(object);
    meant.insert(places.begin(), places.end());
    if (places.empty()) {
      plan.outcome = Outcome::kUsage;
      plan.lines.push_back("there is no backend '" + object + "'");
    }
  }
  if (plan.outcome != Outcome::kOk) {
    return std::move(plan);
  }
  for (const MemberPlace place : meant) {
    plan.members.push_back(label(roster.name_of(place)));
    planner.plan(roster.at(place), roster.name_of(place), roster.services()[place.service].drain);
  }
  if (plan.outcome == Outcome::kOk) {
    plan.overridden = capacity_objections(roster, plan.changes);
  }
  if (!plan.overridden.empty() && !request.force) {
    plan.outcome = Outcome::kRefused;
    plan.lines = std::exchange(plan.overridden, {});
  }
  if (plan.outcome != Outcome::kOk) {
    plan.changes.clear();
  }
  return std::move(plan);
}

std::vector<PlannedChange> plan_expiry(const Roster& roster, Instant now) {
  std::vector<PlannedChange> changes;
  for (const MemberPlace place : roster.expired(now)) {
    const Member& member = roster.at(place);
    PlannedChange& change = changes.emplace_back();
    change.name = roster.name_of(place);
    change.before = change.order.orders = member.orders;
    change.order.cause = "its time is over";
    if (member.weight_expires <= now.steady) {
      change.order.orders.weight.reset();
      change.line = "of weight " + std::to_string(member.backend.weight) + ", as in the file";
    }
    if (member.state_expires <= now.steady) {
      change.order.orders.state.reset();
      change.order.event = AdminEvent::kEnable;
      change.line = "enabled";
    }
  }
  return changes;
}

}  // namespace holdfast::control
