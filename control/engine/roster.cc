// SPDX-License-Identifier: Apache-2.0
// See roster.h.
#include "control/engine/roster.h"

#include "control/engine/dead_members.h"
#include "control/publish/build.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace holdfast::control {
namespace {

using dataplane::Disposition;

constexpr std::string_view kWholeNode = "node";

std::optional<DampingRule> damping_of(const config::Service& service) {
  if (!service.damping) {
    return std::nullopt;
  }
  return DampingRule{.half_life = service.damping->half_life,
                     .suppress = static_cast<double>(service.damping->suppress),
                     .reuse = static_cast<double>(service.damping->reuse),
                     .longest = service.damping->max};
}

Thresholds thresholds_of(const config::Service& service) {
  return {.rise = service.check.rise, .fall = service.check.fall};
}

Clock::TimePoint drain_end(const StateOrder& order, Instant now) {
  if (order.maintenance || order.drain.then == config::DrainEnd::kKeep) {
    return Clock::TimePoint::max();
  }
  return end_of(order.drain.deadline, order.stamp.since_unix_ms, now);
}

Clock::TimePoint expiry(const OrderStamp& stamp, Instant now) {
  return stamp.ttl.count() == 0 ? Clock::TimePoint::max()
                                : end_of(stamp.ttl, stamp.since_unix_ms, now);
}

AdminEvent deadline_event(const StateOrder& order) {
  return order.drain.then == config::DrainEnd::kRemove ? AdminEvent::kRemove : AdminEvent::kReset;
}

void time_orders(Member& member, Instant now) {
  constexpr Clock::TimePoint kNever = Clock::TimePoint::max();
  const MemberOrders& orders = member.orders;
  member.drain_ends = orders.state ? drain_end(*orders.state, now) : kNever;
  member.state_expires = orders.state ? expiry(orders.state->stamp, now) : kNever;
  member.weight_expires = orders.weight ? expiry(orders.weight->stamp, now) : kNever;
}

Member build_member(const config::Service& service, const config::Backend& backend, Instant now) {
  Member member;
  member.backend = backend;
  member.thresholds = thresholds_of(service);
  member.since = now.steady;
  if (service.has_check) {
    member.check = build_check(service, backend);
  } else {
    member.judgement.health = Health::kUp;
  }
  return member;
}

// What stays of a member over a reload that leaves its address alone.
void keep_state(Member& member, const Member& before) {
  const bool same_check = member.check == before.check;
  const bool always_up = !member.check.has_value();
  if (same_check) {
    member.judgement = before.judgement;
  } else if (!always_up) {
    // Another question: the health stands until it is answered, streaks start anew.
    member.judgement.health = before.judgement.health;
  }
  member.decision = before.decision;
  member.shown = before.shown;
  member.cause = before.cause;
  member.since = before.since;
  member.changes = before.changes;
  member.down_since = before.down_since;
  member.penalty = before.penalty;
  member.hints = before.hints;
  member.others_answered = before.others_answered;
  member.proved_dead = before.proved_dead;
}

// What the orders make of a member. Those that stood before are timed already; only new ones, and
// those read from disk, go by the wall clock.
void set_orders(Member& member, const MemberOrders& orders, const Member* before, Instant now) {
  member.orders = orders;
  if (before != nullptr && before->orders == orders) {
    member.admin = before->admin;
    member.drain_ends = before->drain_ends;
    member.state_expires = before->state_expires;
    member.weight_expires = before->weight_expires;
    return;
  }
  time_orders(member, now);
  member.admin = Admin::kEnabled;
  if (!orders.state) {
    return;
  }
  member.admin = orders.state->maintenance ? Admin::kMaintenance : Admin::kDraining;
  if (member.drain_ends <= now.steady) {
    member.admin = next_admin(member.admin, deadline_event(*orders.state));
  }
}

std::size_t count_undecided(const ServiceEntry& service) {
  return static_cast<std::size_t>(std::ranges::count_if(service.members, [](const Member& member) {
    return member.judgement.health == Health::kDown && !member.proved_dead;
  }));
}

bool is_down_for_long(const Member& member, Instant now) {
  const Health health = member.judgement.health;
  return (health == Health::kDown || health == Health::kDamped) &&
         now.steady - member.down_since >= kDownForLong;
}

bool is_named(std::string_view object, std::string_view service, const config::Backend& backend) {
  constexpr std::string_view kHost = "host:";
  constexpr std::string_view kTier = "tier:";
  if (object == kWholeNode) {
    return true;
  }
  if (object.starts_with(kHost)) {
    return backend.address.text() == object.substr(kHost.size());
  }
  const bool tier = object.starts_with(kTier);
  if (tier) {
    object.remove_prefix(kTier.size());
  }
  const std::size_t slash = object.find('/');
  if (slash == std::string_view::npos) {
    return !tier && backend.name == object;
  }
  const std::string_view wanted = object.substr(slash + 1);
  return service == object.substr(0, slash) &&
         wanted == (tier ? std::to_string(backend.tier) : backend.name);
}

// "penalty 2924, held back for 118s"
std::string penalty_text(const Penalty& penalty, const DampingRule& rule, Instant now) {
  const auto whole = [](double value) { return std::to_string(std::llround(value)); };
  return "penalty " + whole(penalty.at(now.steady, rule)) + ", held back for " +
         whole(penalty.left(now.steady, rule).count()) + "s";
}

// Why a member changed to which nothing happened itself.
std::string indirect_cause(bool last_resort, bool was_last_resort) {
  if (last_resort != was_last_resort) {
    return last_resort ? "last resort: no member is up" : "last resort is over";
  }
  return "other members of the service";
}

}  // namespace

Clock::TimePoint end_of(std::chrono::milliseconds term, std::int64_t since_unix_ms, Instant now) {
  const std::int64_t age = std::max<std::int64_t>(now.unix_ms - since_unix_ms, 0);
  return now.steady + term - std::chrono::milliseconds(age);
}

std::string describe(const ProbeResult& result) {
  if (result.layer == Layer::kLocal) {
    return "local error " + std::to_string(result.detail);
  }
  std::string text = std::string(layer_name(result.layer)) + " ";
  text += reason_name(result.reason);
  if (result.layer == Layer::kL7 && result.detail != 0) {
    text += " " + std::to_string(result.detail);
  }
  return text;
}

bool is_usable(const Member& member) {
  const Health health = member.judgement.health;
  return member.admin == Admin::kEnabled && member.weight() > 0 &&
         (health == Health::kUp || health == Health::kSuspect);
}

// What the roster before and the operator's orders say of a new roster's member.
void Roster::take_over(Member& member,
                       const config::Service& service,
                       const Roster& before,
                       const Orders& orders,
                       Instant now) {
  const MemberName name{service.name, member.backend.name};
  const auto old = before.find(name);
  const bool kept = old && before.at(*old).backend.address == member.backend.address &&
                    before.at(*old).backend.port == member.backend.port;
  if (kept) {
    keep_state(member, before.at(*old));
  }
  const auto ordered = orders.find(name);
  set_orders(member,
             ordered == orders.end() ? MemberOrders() : ordered->second,
             old ? &before.at(*old) : nullptr,
             now);
  if (!kept) {
    member.shown.admin = member.admin;
  }
}

Roster::Roster(const config::Config& config,
               const Roster& before,
               const Orders& orders,
               Instant now) {
  for (const config::Service& service : config.services) {
    ServiceEntry& entry = services_.emplace_back();
    entry.name = service.name;
    entry.drain = service.drain;
    entry.min_capacity = service.min_capacity;
    entry.when_down = when_down(service);
    entry.damping = damping_of(service);
    for (const config::Backend& backend : service.backends) {
      Member& member = entry.members.emplace_back(build_member(service, backend, now));
      const MemberPlace place{services_.size() - 1, entry.members.size() - 1};
      places_[{service.name, backend.name}] = place;
      take_over(member, service, before, orders, now);
      if (member.check) {
        checks_[*member.check].members.push_back(place);
      }
    }
    const auto same = std::ranges::find(before.services_, service.name, &ServiceEntry::name);
    entry.last_resort = same != before.services_.end() && same->last_resort;
  }
  for (auto& [spec, watched] : checks_) {
    if (const CheckEntry* known = before.check(spec)) {
      watched.entry = *known;
    }
  }
}

MemberName Roster::name_of(MemberPlace place) const {
  return {services_[place.service].name, at(place).backend.name};
}

std::optional<MemberPlace> Roster::find(const MemberName& name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<MemberPlace> Roster::resolve(std::string_view object) const {
  std::vector<MemberPlace> found;
  for (std::size_t s = 0; s < services_.size(); ++s) {
    for (std::size_t m = 0; m < services_[s].members.size(); ++m) {
      if (is_named(object, services_[s].name, services_[s].members[m].backend)) {
        found.push_back({s, m});
      }
    }
  }
  return found;
}

std::set<CheckSpec> Roster::checks() const {
  std::set<CheckSpec> specs;
  for (const auto& [spec, watched] : checks_) {
    specs.insert(spec);
  }
  return specs;
}

const CheckEntry* Roster::check(const CheckSpec& spec) const {
  const auto found = checks_.find(spec);
  return found == checks_.end() ? nullptr : &found->second.entry;
}

std::vector<ServiceDecision> Roster::decisions() const {
  std::vector<ServiceDecision> decisions;
  for (const ServiceEntry& service : services_) {
    ServiceDecision& decision = decisions.emplace_back();
    decision.last_resort = service.last_resort;
    for (const Member& member : service.members) {
      decision.members.push_back(member.decision);
    }
  }
  return decisions;
}

void Roster::adopt(const RunningState& running, Instant now) {
  std::map<MemberName, std::uint32_t> weights;
  for (const dataplane::ServiceSpec& service : running.generation.services) {
    for (const dataplane::MemberSpec& member : service.members) {
      weights[{service.name, member.backend}] = member.weight;
    }
  }
  for (const RunningMember& one : running.members) {
    const MemberName name{one.service, one.backend};
    const auto place = find(name);
    const auto weight = weights.find(name);
    if (place && weight != weights.end() && !one.retired) {
      adopt(services_[place->service].members[place->member], one, weight->second, now);
    }
  }
}

void Roster::adopt(Member& member,
                   const RunningMember& running,
                   std::uint32_t weight,
                   Instant now) {
  const bool same = running.address == to_dataplane(member.backend.address) &&
                    running.port == member.backend.port;
  const bool open = member.judgement.health == Health::kUnknown || !member.check;
  if (!same || !open) {
    return;
  }
  if (member.check) {
    const bool draining = member.admin != Admin::kEnabled;
    if (is_out(running.disposition, member.admin)) {
      member.judgement.health = Health::kDown;
      const bool out_of_table = weight == 0 && member.weight() != 0;
      member.down_since = out_of_table ? now.steady - kDownForLong : now.steady;
    } else if (running.disposition == Disposition::kNew || draining) {
      member.judgement.health = Health::kUp;
    }
  }
  member.decision = {.disposition = running.disposition, .weight = weight};
  member.shown = {
      .admin = member.admin, .health = member.judgement.health, .disposition = running.disposition};
  member.cause = "adopted";
}

Roster::Outcome Roster::apply(const CheckSpec& spec, const ProbeResult& result, Instant now) {
  Outcome out;
  const auto found = checks_.find(spec);
  if (found == checks_.end()) {
    return out;
  }
  CheckEntry& entry = found->second.entry;
  const Evidence evidence = evidence_of(result, spec.timeout);
  entry.last = result;
  entry.history.add(result, now.unix_ms);
  entry.passed += evidence == Evidence::kPass ? 1U : 0U;
  entry.voided += evidence == Evidence::kVoid ? 1U : 0U;
  entry.failed += evidence == Evidence::kDefinitive || evidence == Evidence::kAmbiguous ? 1U : 0U;
  for (const MemberPlace place : found->second.members) {
    judge_member(place, entry, evidence, now, out);
    ServiceEntry& service = services_[place.service];
    Member& member = service.members[place.member];
    if (weigh_deaths(service, member, evidence, now.steady - result.duration, now.steady)) {
      settle_service(place.service, {place.member, "fails while others answer"}, now, out);
    }
  }
  return out;
}

void Roster::judge_member(
    MemberPlace place, const CheckEntry& check, Evidence evidence, Instant now, Outcome& out) {
  Member& member = services_[place.service].members[place.member];
  if (evidence == Evidence::kPass && member.hints.newer_than(now.steady - check.last.duration)) {
    return;
  }
  const auto& damping = services_[place.service].damping;
  const Health before = member.judgement.health;
  member.judgement.held = damping && member.penalty.holds(now.steady, *damping);
  member.judgement = judge(member.judgement, evidence, member.thresholds);
  out.confirm = out.confirm || member.judgement.confirm;
  const Health after = member.judgement.health;
  if (evidence == Evidence::kPass) {
    member.hints.refute(now.steady);
  }
  if (after == before) {
    return;
  }
  if (after == Health::kDown) {
    member.hints.confirm();
    member.down_since = now.steady;
    member.others_answered.reset();
    member.proved_dead = false;
    if (damping && before != Health::kUnknown) {
      member.penalty.add_fall(now.steady, *damping);
    }
  }
  const std::uint32_t streak = member.judgement.streak();
  std::string cause = describe(check.last);
  if (streak > 1) {
    cause += ", " + std::to_string(streak) + " in a row";
  }
  if (after == Health::kDamped) {
    cause += ", but it fell too often: " + penalty_text(member.penalty, *damping, now);
  }
  settle_service(place.service, {place.member, std::move(cause)}, now, out);
}

Roster::Outcome Roster::suspect(MemberPlace place, const std::string& cause, Instant now) {
  Outcome out;
  Member& member = services_[place.service].members[place.member];
  if (!member.check || member.judgement.health != Health::kUp ||
      !member.hints.believed(now.steady)) {
    return out;
  }
  member.hints.take(now.steady);
  member.judgement.health = next_health(Health::kUp, HealthEvent::kFail);
  member.judgement.confirm = true;
  out.confirm = true;
  settle_service(place.service, {place.member, cause}, now, out);
  return out;
}

Roster::Outcome Roster::apply(MemberPlace place, const Order& order, Instant now) {
  Outcome out;
  Member& member = services_[place.service].members[place.member];
  const Member before = member;
  member.orders = order.orders;
  time_orders(member, now);
  if (before.orders.state == member.orders.state) {
    member.drain_ends = before.drain_ends;
    member.state_expires = before.state_expires;
  }
  if (before.orders.weight == member.orders.weight) {
    member.weight_expires = before.weight_expires;
  }
  if (order.event) {
    member.admin = next_admin(member.admin, *order.event);
  }
  if (order.clears_penalty) {
    member.penalty.clear();
    if (member.judgement.health == Health::kDamped) {
      member.judgement.health = Health::kUp;
    }
  }
  settle_service(place.service, {place.member, order.cause}, now, out);
  return out;
}

Roster::Outcome Roster::tick(Instant now) {
  Outcome out;
  for (std::size_t s = 0; s < services_.size(); ++s) {
    bool due = false;
    for (std::size_t m = 0; m < services_[s].members.size(); ++m) {
      Member& member = services_[s].members[m];
      if (member.admin == Admin::kDraining && member.orders.state &&
          member.drain_ends <= now.steady) {
        member.admin = next_admin(member.admin, deadline_event(*member.orders.state));
        settle_service(s, {m, "drain: its deadline is over"}, now, out);
      }
      due = due || (is_down_for_long(member, now) && member.decision.weight != 0);
    }
    if (due) {
      settle_service(s, {std::nullopt, "down for long"}, now, out);
    }
  }
  return out;
}

std::vector<MemberPlace> Roster::expired(Instant now) const {
  std::vector<MemberPlace> places;
  for (std::size_t s = 0; s < services_.size(); ++s) {
    for (std::size_t m = 0; m < services_[s].members.size(); ++m) {
      const Member& member = services_[s].members[m];
      if (std::min(member.state_expires, member.weight_expires) <= now.steady) {
        places.push_back({s, m});
      }
    }
  }
  return places;
}

Roster::Outcome Roster::settle(const std::string& cause, Instant now) {
  Outcome out;
  for (std::size_t s = 0; s < services_.size(); ++s) {
    settle_service(s, {std::nullopt, cause}, now, out);
  }
  return out;
}

void Roster::settle_service(std::size_t index, const Event& event, Instant now, Outcome& out) {
  ServiceEntry& service = services_[index];
  std::vector<MemberInput> inputs;
  for (const Member& member : service.members) {
    inputs.push_back({.state = member.state(),
                      .weight = member.weight(),
                      .now = member.decision.disposition,
                      .down_for_long = is_down_for_long(member, now),
                      .proved_dead = member.proved_dead});
  }
  ServiceDecision decided = decide(inputs, service.when_down);
  for (std::size_t m = 0; m < service.members.size(); ++m) {
    const auto& slots = service.members[m].orders.slots;
    decided.members[m].slots = slots ? slots->key : "";
  }
  service.undecided = count_undecided(service);
  const bool was_last_resort = std::exchange(service.last_resort, decided.last_resort);
  for (std::size_t m = 0; m < service.members.size(); ++m) {
    Member& member = service.members[m];
    out.weights_changed = out.weights_changed ||
                          member.decision.weight != decided.members[m].weight ||
                          member.decision.in_generation != decided.members[m].in_generation ||
                          member.decision.slots != decided.members[m].slots;
    member.decision = decided.members[m];
    const Shown before = member.shown;
    member.shown = {.admin = member.admin,
                    .health = member.judgement.health,
                    .disposition = member.decision.disposition};
    if (before == member.shown) {
      continue;
    }
    const bool direct = !event.member || *event.member == m;
    member.cause = direct ? event.cause : indirect_cause(service.last_resort, was_last_resort);
    member.since = now.steady;
    ++member.changes;
    out.changes.push_back({service.name, member.backend.name, before, member.shown, member.cause});
  }
}

}  // namespace holdfast::control
