// SPDX-License-Identifier: Apache-2.0
// See engine.h. What operators and metrics see: the roster beside the newest counters.
#include "config/ip.h"
#include "control/admin/wire_views.h"
#include "control/engine/engine.h"
#include "control/publish/build.h"
#include "dataplane/api/codec.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

namespace holdfast::control {
namespace {

constexpr std::size_t kDriftNotices = 20;

double seconds(Clock::TimePoint::duration time) {
  return std::chrono::duration<double>(time).count();
}

BackendView retired_view(const seam::MemberCounters& counters) {
  BackendView view = to_view(counters);
  view.admin = "enabled";
  view.health = "unknown";
  view.cause = "no longer configured";
  return view;
}

// Adds what is known to what is known; a sum of nothing known is not known.
void add(std::optional<std::uint64_t>& sum, const std::optional<std::uint64_t>& more) {
  if (more) {
    sum = sum.value_or(0) + *more;
  }
}

CheckView view_of(const Member& member, const CheckEntry* entry) {
  CheckView view;
  view.type = "none";
  if (!member.check || entry == nullptr) {
    return view;
  }
  view.type = member.check->type == config::CheckType::kHttp ? "http" : "tcp";
  view.passed = entry->passed;
  view.failed = entry->failed;
  view.voided = entry->voided;
  view.streak = member.judgement.streak();
  if (entry->passed + entry->failed + entry->voided > 0) {
    view.last_layer = layer_name(entry->last.layer);
    view.last_reason = reason_name(entry->last.reason);
    view.last_duration_s = std::chrono::duration<double>(entry->last.duration).count();
  }
  return view;
}

DriftView view_of(const OrderStamp& stamp, Clock::TimePoint expires, Instant now) {
  DriftView view;
  view.who = stamp.who;
  view.reason = stamp.reason;
  view.age_s = std::max(0.0, static_cast<double>(now.unix_ms - stamp.since_unix_ms) / 1e3);
  if (expires != Clock::TimePoint::max()) {
    view.expires_s = seconds(expires - now.steady);
  }
  return view;
}

std::string_view then_name(config::DrainEnd then) {
  constexpr std::array<std::string_view, 3> kNames = {"reset", "keep", "remove"};
  return kNames[std::to_underlying(then)];
}

std::vector<DriftView> drift_of(const Member& member, Instant now) {
  std::vector<DriftView> drift;
  if (const auto& state = member.orders.state) {
    DriftView& view = drift.emplace_back(view_of(state->stamp, member.state_expires, now));
    view.what = admin_name(member.admin);
    view.file = admin_name(Admin::kEnabled);
    view.then = state->maintenance ? "" : then_name(state->drain.then);
    if (member.drain_ends != Clock::TimePoint::max()) {
      view.deadline_s = seconds(member.drain_ends - now.steady);
    }
  }
  if (const auto& slots = member.orders.slots) {
    DriftView& view = drift.emplace_back(view_of(slots->stamp, Clock::TimePoint::max(), now));
    view.what = "slots of " + slots->from;
    view.file = "its own slots";
  }
  if (const auto& weight = member.orders.weight) {
    DriftView& view = drift.emplace_back(view_of(weight->stamp, member.weight_expires, now));
    view.what = "weight " + std::to_string(weight->weight);
    view.file = "weight " + std::to_string(member.backend.weight);
  }
  return drift;
}

std::string port_text(const config::ServicePort& port) {
  std::string text = port.protocol == config::Protocol::kTcp ? "tcp/" : "udp/";
  return text + config::port_range_text(port.first, port.last);
}

// What tells two members of one name apart: address and port.
using MemberKey = std::tuple<std::string, std::string, std::string, std::uint32_t>;

MemberKey key_of(const seam::MemberRef& ref) {
  return {ref.service(), ref.backend(), ref.address(), ref.port()};
}

MemberKey key_of(const Roster& roster, MemberPlace place) {
  const auto [service, backend] = roster.name_of(place);
  const config::Backend& asked = roster.at(place).backend;
  return {service, backend, seam::to_wire(to_dataplane(asked.address)), asked.port};
}

}  // namespace

const seam::GetCountersReply& Engine::counted() const {
  return counters_ ? *counters_ : seam::GetCountersReply::default_instance();
}

BackendView Engine::view_of(MemberPlace place, const seam::MemberCounters* counters) const {
  const Member& member = roster_.at(place);
  BackendView view = counters != nullptr ? to_view(*counters) : BackendView();
  std::tie(view.service, view.name) = roster_.name_of(place);
  view.retired = false;  // a removed member is, for the dataplane
  if (counters == nullptr && counters_ && member.admin == Admin::kRemoved) {
    view.flows = 0;
  }
  view.address = member.backend.address.text();
  view.port = member.backend.port;
  view.weight = member.decision.weight;
  view.file_weight = member.backend.weight;
  view.drift = drift_of(member, now());
  if (const auto ebb = ebbs_.find({view.service, view.name}); ebb != ebbs_.end()) {
    if (const auto left = ebb->second.left()) {
      const bool resets = member.admin == Admin::kDraining && member.orders.state &&
                          member.orders.state->drain.then == config::DrainEnd::kReset;
      view.drain_estimate_s =
          resets ? std::min(left->count(), seconds(member.drain_ends - now().steady))
                 : left->count();
    }
  }
  view.tier = member.backend.tier;
  view.admin = admin_name(member.admin);
  view.health = health_name(member.judgement.health);
  view.disposition = seam::disposition_name(member.decision.disposition);
  view.cause = member.cause;
  view.since_s = seconds(parts_.clock.now() - member.since);
  view.changes = member.changes;
  const CheckEntry* entry = member.check ? roster_.check(*member.check) : nullptr;
  view.check = control::view_of(member, entry);
  if (const auto& damping = roster_.services()[place.service].damping) {
    const Clock::TimePoint at = parts_.clock.now();
    view.penalty = member.penalty.at(at, *damping);
    if (member.penalty.holds(at, *damping)) {
      view.held_left_s = member.penalty.left(at, *damping).count();
    }
  }
  return view;
}

std::vector<BackendView> Engine::backends() {
  const auto& members = counted().members();
  std::map<MemberKey, const seam::MemberCounters*> counters;
  for (const seam::MemberCounters& one : members) {
    counters[key_of(one.ref())] = &one;
  }
  std::vector<BackendView> views;
  for (std::size_t s = 0; s < roster_.services().size(); ++s) {
    for (std::size_t m = 0; m < roster_.services()[s].members.size(); ++m) {
      const auto found = counters.extract(key_of(roster_, {s, m}));
      views.push_back(view_of({s, m}, found ? found.mapped() : nullptr));
    }
  }
  for (const auto& [key, one] : counters) {
    if (one->retired()) {
      views.push_back(retired_view(*one));
    }
  }
  return views;
}

std::vector<ServiceView> Engine::services() {
  std::vector<ServiceView> views;
  for (const config::Service& service : config_.services) {
    ServiceView& view = views.emplace_back();
    view.name = service.name;
    view.mode = mode_name(static_cast<dataplane::Mode>(service.mode));
    for (const config::Vip& vip : service.vips) {
      view.vips.push_back(vip.text());
    }
    for (const config::ServicePort& port : service.ports) {
      view.ports.push_back(port_text(port));
    }
    view.affinity = affinity_text(build_affinity(service.affinity));
    view.slots = service.balance.slots;
    view.flows = view.new_flows = std::nullopt;
  }
  for (const BackendView& backend : backends()) {
    const auto view = std::ranges::find(views, backend.service, &ServiceView::name);
    if (view == views.end()) {
      continue;
    }
    const bool usable = backend.disposition == "new" && backend.weight > 0;
    view->backends += backend.retired ? 0U : 1U;
    view->usable += !backend.retired && usable ? 1U : 0U;
    add(view->flows, backend.flows);
    add(view->new_flows, backend.new_flows);
  }
  for (const seam::ServiceMoves& moves : counted().moves()) {
    const auto view = std::ranges::find(views, moves.service(), &ServiceView::name);
    if (view != views.end()) {
      view->moves = to_view(moves);
    }
  }
  return views;
}

StatusView Engine::status() {
  const Clock::TimePoint time = parts_.clock.now();
  StatusView view;
  view.version = HOLDFAST_VERSION;
  view.dataplane_version = hello_.build();
  view.dataplane_connected = parts_.forwarder.connected();
  view.revision = revision_;
  if (trial_) {
    view.trial = TrialView{.falls_back_to = about_.falls_back_to,
                           .left_s = std::max(seconds(trial_->deadline - time), 0.0)};
  }
  view.reloads_applied = reloads_applied_;
  view.reloads_refused = reloads_refused_;
  view.reloads_unchanged = reloads_unchanged_;
  view.last_reload = last_reload_;
  view.last_reload.age_s = last_reload_.result.empty() ? 0 : seconds(time - last_reload_at_);
  view.adopted_ms = adopted_ms_;
  view.adoption_state_changes = adoption_changes_;
  view.publish_failures = publisher_.failures();
  view.disk_errors = disk_errors_;
  view.probe_lateness_p99_s = std::chrono::duration<double>(lateness_.p99()).count();
  view.probes_skipped = scheduler_.skipped();
  view.log_lines_suppressed = parts_.log.suppressed();
  view.log_lines_dropped = parts_.log_lines_dropped ? parts_.log_lines_dropped() : 0;
  view.uptime_s = seconds(time - started_);
  add_counters(view);
  view.not_in_force = not_in_force();
  if (drained_) {
    view.drained = control::view_of(*drained_, Clock::TimePoint::max(), now());
    view.drained->what = "drained";
    view.drained->file = "not drained";
  }
  view.notices = build_notices();
  return view;
}

// What the dataplane said last, as long as the connection stands on which it said so.
void Engine::add_counters(StatusView& view) const {
  if (adopted_) {
    view.generation = publisher_.acknowledged();
  }
  if (!counters_) {
    return;
  }
  view.mbufs_available = counters_->mbufs_available();
  view.mbufs_total = counters_->mbufs_total();
  view.state_bytes = counters_->state_bytes();
  view.guard_losses = counters_->guard_losses();
  view.role = role_text(counters_->role());
  if (counters_->has_routes()) {
    view.routes = counters_->routes().routes();
    view.routes_discarded = counters_->routes().discarded();
  }
  view.counters_age_s = seconds(parts_.clock.now() - counters_at_);
  for (const seam::WorkerCounters& worker : counters_->workers()) {
    view.workers.push_back(to_view(worker));
  }
  for (const seam::PortCounters& port : counters_->ports()) {
    view.ports.push_back(to_view(port));
  }
}

std::string Engine::not_in_force() const {
  if (!adopted_) {
    return {};
  }
  return publisher_.last_failure().empty() ? file_refusal_ : publisher_.last_failure();
}

// What operators ordered beside the file; a host that is drained must not hide everything else.
void Engine::add_drift(std::vector<std::string>& notices) const {
  if (drained_) {
    notices.push_back("the node is drained by " + drained_->who +
                      (drained_->reason.empty() ? "" : " (" + drained_->reason + ")") +
                      ", until `holdfast node undrain`");
  }
  std::size_t drifting = 0;
  for (const auto& [name, orders] : orders_) {
    const auto place = roster_.find(name);
    if (!place) {
      continue;
    }
    for (const DriftView& drift : drift_of(roster_.at(*place), now())) {
      if (++drifting <= kDriftNotices) {
        notices.push_back("drift: " + label(name) + ": " + drift.what + " by " + drift.who +
                          (drift.reason.empty() ? "" : " (" + drift.reason + ")") +
                          ", the file says " + drift.file);
      }
    }
  }
  if (drifting > kDriftNotices) {
    notices.push_back("drift: " + std::to_string(drifting - kDriftNotices) +
                      " more, which `holdfast backends` lists");
  }
}

std::vector<std::string> Engine::build_notices() const {
  std::vector<std::string> notices = notices_;
  if (!parts_.forwarder.connected()) {
    notices.emplace_back("the dataplane is not connected: what it forwards by cannot be changed");
  } else {
    notices.insert(notices.end(), hello_.notices().begin(), hello_.notices().end());
    if (!hello_.startup().empty() && !started_with(config_)) {
      notices.emplace_back(
          "the dataplane runs with other start-up keys than the configuration: restart it");
    }
  }
  if (!orders_unsaved_.empty()) {
    notices.push_back("drains and weights are not written down, a restart would forget them: " +
                      orders_unsaved_);
  }
  if (!node_unsaved_.empty()) {
    notices.push_back("the drain of the node is not written down, a restart would forget it: " +
                      node_unsaved_);
  }
  if (!revision_unsaved_.empty()) {
    notices.push_back("revision " + std::to_string(revision_) +
                      " is not written down, a restart would forget it: " + revision_unsaved_);
  }
  if (!adoption_failure_.empty()) {
    notices.push_back("the dataplane's state could not be adopted, nothing is published: " +
                      adoption_failure_);
  }
  if (!publisher_.last_failure().empty()) {
    notices.push_back("the last publication failed: " + publisher_.last_failure());
  }
  if (!file_refusal_.empty()) {
    const bool again = retry_file_ != Clock::TimePoint::max();
    notices.push_back("the configuration on disk is not in force" +
                      std::string(again ? ", it is tried again: " : ": ") + file_refusal_);
  }
  if (!about_.set_aside.empty()) {
    notices.push_back(
        "revision " + std::to_string(revision_) + " (" + about_.origin +
        ") is in force; the file on disk is another one, and the next reload takes it");
  }
  if (trial_) {
    notices.push_back(trial_text(*trial_));
  }
  add_drift(notices);
  add_routes(notices);
  for (const ServiceEntry& service : roster_.services()) {
    if (service.last_resort) {
      notices.push_back(
          "service " + service.name +
          ": no member is up, those that are damped or else all take new flows as the last resort");
    }
  }
  return notices;
}

}  // namespace holdfast::control
