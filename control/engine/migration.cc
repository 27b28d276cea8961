// SPDX-License-Identifier: Apache-2.0
// See verb_plan.h. The two change places in the Maglev table, with their weights: so the table
// stays what it was but for their names, and no other backend's slot moves.
#include "control/engine/verb_plan.h"
#include "control/publish/build.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace holdfast::control {
namespace {

std::string key_in_force(const ServiceEntry& service, std::size_t member) {
  std::vector<std::string> names;
  std::vector<std::string> ordered;
  for (const Member& one : service.members) {
    names.push_back(one.backend.name);
    ordered.push_back(one.orders.slots ? one.orders.slots->key : "");
  }
  return slot_keys(names, ordered)[member];
}

class Migration {
 public:
  Migration(const Roster& roster, const AdminRequest& request, std::int64_t unix_ms)
      : roster_(roster),
        request_(request),
        stamp_{.since_unix_ms = unix_ms,
               .ttl = std::chrono::milliseconds(0),
               .who = request.caller.who,
               .reason = request.caller.reason} {}

  VerbPlan plan() {
    const auto from = request_.objects.size() == 2 ? roster_.resolve(request_.objects[0])
                                                   : std::vector<MemberPlace>();
    if (from.empty()) {
      plan_.outcome = Outcome::kUsage;
      plan_.lines.emplace_back(
          request_.objects.size() == 2
              ? "there is no backend '" + request_.objects[0] + "'"
              : "write the backend to migrate from, then the one to migrate to");
      return std::move(plan_);
    }
    const auto to = roster_.resolve(request_.objects[1]);
    if (to.empty()) {
      plan_.outcome = Outcome::kUsage;
      plan_.lines.push_back("there is no backend '" + request_.objects[1] + "'");
      return std::move(plan_);
    }
    for (const MemberPlace place : from) {
      plan_pair(place, to);
    }
    if (plan_.outcome == Outcome::kOk) {
      plan_.overridden = capacity_objections(roster_, plan_.changes);
    }
    if (!plan_.overridden.empty() && !request_.force) {
      plan_.outcome = Outcome::kRefused;
      plan_.lines = std::exchange(plan_.overridden, {});
    }
    if (plan_.outcome != Outcome::kOk) {
      plan_.changes.clear();
    }
    return std::move(plan_);
  }

 private:
  void refuse(std::string why) {
    plan_.outcome = Outcome::kRefused;
    plan_.lines.push_back(std::move(why));
  }

  void plan_pair(MemberPlace from, const std::vector<MemberPlace>& candidates) {
    const auto in_service = [from](MemberPlace one) { return one.service == from.service; };
    const auto to = std::ranges::find_if(candidates, in_service);
    const std::string& service = roster_.services()[from.service].name;
    plan_.members.push_back(label(roster_.name_of(from)));
    if (to == candidates.end() || std::ranges::count_if(candidates, in_service) > 1 ||
        *to == from) {
      return refuse("service " + service + " has not one other backend '" + request_.objects[1] +
                    "' to migrate to");
    }
    const std::string why = objection(roster_.at(from), roster_.at(*to));
    if (!why.empty()) {
      return refuse(label(roster_.name_of(*to)) + " " + why);
    }
    change_places(from, *to);
  }

  [[nodiscard]] static std::string objection(const Member& from, const Member& to) {
    const bool drains = to.admin == Admin::kDraining || to.admin == Admin::kDrained;
    if (to.judgement.health != Health::kUp) {
      return "is not up: " + std::string(health_name(to.judgement.health));
    }
    if (to.admin != Admin::kEnabled && !drains) {
      return "is " + std::string(admin_name(to.admin)) + ": enable it first";
    }
    if (to.backend.tier != from.backend.tier || to.backend.address.v6 != from.backend.address.v6) {
      return "is of another tier or address family, and shares no slots with " + from.backend.name;
    }
    return "";
  }

  void change_places(MemberPlace from, MemberPlace to) {
    const ServiceEntry& service = roster_.services()[from.service];
    const Member& a = roster_.at(from);
    const Member& b = roster_.at(to);
    const std::string& old = a.backend.name;
    if (a.admin != Admin::kEnabled && b.orders.slots && b.orders.slots->from == old) {
      plan_.lines.push_back(label(roster_.name_of(to)) + " has the slots of " + old + " already");
      return;
    }
    config::Drain terms = service.drain;
    terms.deadline = request_.deadline.value_or(terms.deadline);
    terms.then = request_.then.value_or(terms.then);
    PlannedChange taker = change_of(to);
    taker.order.orders.slots = slots(b, key_in_force(service, from.member), old);
    taker.order.orders.weight = weight(b, a.weight());
    if (b.admin != Admin::kEnabled) {
      taker.order.event = AdminEvent::kEnable;
      taker.order.orders.state.reset();
    }
    taker.line = "in the slots of " + old + ", of weight " + std::to_string(a.weight());
    PlannedChange drained = change_of(from);
    drained.order.orders.slots = slots(a, key_in_force(service, to.member), b.backend.name);
    drained.order.orders.weight = weight(a, b.weight());
    drained.order.orders.state = StateOrder{.maintenance = false, .stamp = stamp_, .drain = terms};
    drained.order.event = AdminEvent::kDrain;
    drained.line = "draining: " + terms_text(terms);
    plan_.changes.push_back(std::move(taker));
    plan_.changes.push_back(std::move(drained));
  }

  [[nodiscard]] PlannedChange change_of(MemberPlace place) const {
    const std::string& reason = request_.caller.reason;
    PlannedChange change;
    change.name = roster_.name_of(place);
    change.before = change.order.orders = roster_.at(place).orders;
    change.order.cause = "migrate" + (reason.empty() ? "" : ": " + reason);
    return change;
  }
  // Nothing where it is what the member has by itself.
  [[nodiscard]] std::optional<SlotsOrder> slots(const Member& member,
                                                std::string key,
                                                const std::string& from) const {
    return key == member.backend.name
               ? std::nullopt
               : std::optional(SlotsOrder{.key = std::move(key), .from = from, .stamp = stamp_});
  }
  [[nodiscard]] std::optional<WeightOrder> weight(const Member& member, std::uint32_t value) const {
    return value == member.backend.weight
               ? std::nullopt
               : std::optional(WeightOrder{.weight = value, .stamp = stamp_});
  }

  const Roster& roster_;
  const AdminRequest& request_;
  OrderStamp stamp_;
  VerbPlan plan_;
};

}  // namespace

VerbPlan plan_migration(const Roster& roster, const AdminRequest& request, std::int64_t unix_ms) {
  return Migration(roster, request, unix_ms).plan();
}

}  // namespace holdfast::control
