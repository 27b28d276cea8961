// SPDX-License-Identifier: Apache-2.0
// See engine.h. What operators and metrics see: the roster beside the newest counters.
#include "control/engine/engine.h"
#include "control/publish/build.h"
#include "dataplane/api/codec.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

namespace holdfast::control {
namespace {

using Values = google::protobuf::RepeatedPtrField<seam::NamedValue>;

double seconds(Clock::TimePoint::duration time) {
  return std::chrono::duration<double>(time).count();
}

std::vector<NamedCount> counts(const Values& values) {
  std::vector<NamedCount> result;
  for (const seam::NamedValue& one : values) {
    result.push_back({one.name(), one.value()});
  }
  return result;
}

WorkerView view_of(const seam::WorkerCounters& worker) {
  return {
      .worker = worker.worker(),
      .counters = counts(worker.values()),
      .drops = counts(worker.drops()),
      .generated = counts(worker.generated()),
      .flows = {{"v4", worker.flows_v4()}, {"v6", worker.flows_v6()}, {"nat", worker.flows_nat()}},
      .capacity = {{"v4", worker.capacity_v4()},
                   {"v6", worker.capacity_v6()},
                   {"nat", worker.capacity_nat()}},
      .unaccounted = worker.unaccounted()};
}

void add_counters(BackendView& view, const seam::MemberCounters& counters) {
  view.flows = counters.flows();
  view.last_new_flow_unix_ns = counters.last_new_flow_ns();
  const std::pair<std::string_view, std::uint64_t*> rows[] = {
      {"new_flows", &view.new_flows},
      {"packets_to_member", &view.packets_to_member},
      {"bytes_to_member", &view.bytes_to_member},
      {"packets_to_client", &view.packets_to_client},
      {"bytes_to_client", &view.bytes_to_client},
  };
  for (const seam::NamedValue& value : counters.values()) {
    for (const auto& [name, target] : rows) {
      if (value.name() == name) {
        *target = value.value();
      }
    }
  }
}

BackendView retired_view(const seam::MemberCounters& counters) {
  BackendView view;
  view.service = counters.ref().service();
  view.name = counters.ref().backend();
  const auto address = seam::address_from_wire(counters.ref().address());
  view.address = address ? address->text() : "";
  view.port = static_cast<std::uint16_t>(counters.ref().port());
  view.admin = "enabled";
  view.health = "unknown";
  const auto disposition = seam::disposition_from_wire(counters.disposition());
  view.disposition = seam::disposition_name(disposition.value_or(dataplane::Disposition::kKeep));
  view.cause = "no longer configured";
  view.retired = true;
  add_counters(view, counters);
  return view;
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

std::string port_text(const config::ServicePort& port) {
  std::string text = port.protocol == config::Protocol::kTcp ? "tcp/" : "udp/";
  text += std::to_string(port.first);
  return port.last == port.first ? text : text + "-" + std::to_string(port.last);
}

// What tells two members of one name apart: address and port.
using MemberKey = std::tuple<std::string, std::string, std::string, std::uint32_t>;

MemberKey key_of(const seam::MemberRef& ref) {
  return {ref.service(), ref.backend(), ref.address(), ref.port()};
}

}  // namespace

BackendView Engine::view_of(MemberPlace place) const {
  const Member& member = roster_.at(place);
  const auto [service, backend] = roster_.name_of(place);
  BackendView view;
  view.service = service;
  view.name = backend;
  view.address = member.backend.address.text();
  view.port = member.backend.port;
  view.weight = member.backend.weight;
  view.tier = member.backend.tier;
  view.admin = admin_name(member.admin);
  view.health = health_name(member.judgement.health);
  view.disposition = seam::disposition_name(member.decision.disposition);
  view.cause = member.cause;
  view.since_s = seconds(parts_.clock.now() - member.since);
  view.changes = member.changes;
  const CheckEntry* entry = member.check ? roster_.check(*member.check) : nullptr;
  view.check = control::view_of(member, entry);
  return view;
}

std::vector<BackendView> Engine::backends() {
  std::map<MemberKey, const seam::MemberCounters*> counters;
  for (const seam::MemberCounters& one : counters_.members()) {
    counters[key_of(one.ref())] = &one;
  }
  std::vector<BackendView> views;
  for (std::size_t s = 0; s < roster_.services().size(); ++s) {
    for (std::size_t m = 0; m < roster_.services()[s].members.size(); ++m) {
      BackendView& view = views.emplace_back(view_of({s, m}));
      const config::Backend& backend = roster_.at({s, m}).backend;
      const std::string address = seam::to_wire(to_dataplane(backend.address));
      const auto found = counters.find({view.service, view.name, address, view.port});
      if (found != counters.end() && parts_.forwarder.connected()) {
        add_counters(view, *found->second);
      }
    }
  }
  for (const seam::MemberCounters& one : counters_.members()) {
    if (one.retired()) {
      views.push_back(retired_view(one));
    }
  }
  return views;
}

std::vector<ServiceView> Engine::services() {
  std::vector<ServiceView> views;
  for (const config::Service& service : config_.services) {
    ServiceView& view = views.emplace_back();
    view.name = service.name;
    view.mode = service.mode == config::Mode::kNat ? "nat" : "dsr";
    for (const config::IpAddress& vip : service.vips) {
      view.vips.push_back(vip.text());
    }
    for (const config::ServicePort& port : service.ports) {
      view.ports.push_back(port_text(port));
    }
    view.slots = service.balance.slots;
  }
  for (const BackendView& backend : backends()) {
    const auto view = std::ranges::find(views, backend.service, &ServiceView::name);
    if (view == views.end()) {
      continue;
    }
    view->backends += backend.retired ? 0U : 1U;
    view->usable += !backend.retired && backend.disposition == "new" ? 1U : 0U;
    view->flows += backend.flows.value_or(0);
    view->new_flows += backend.new_flows;
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
  view.generation = publisher_.acknowledged();
  view.reloads_applied = reloads_applied_;
  view.reloads_refused = reloads_refused_;
  view.last_reload = last_reload_;
  view.last_reload.age_s = last_reload_.result.empty() ? 0 : seconds(time - last_reload_at_);
  view.adopted_ms = adopted_ms_;
  view.adoption_state_changes = adoption_changes_;
  view.publish_failures = publisher_.failures();
  view.disk_errors = disk_errors_;
  view.mbufs_available = counters_.mbufs_available();
  view.mbufs_total = counters_.mbufs_total();
  view.state_bytes = counters_.state_bytes();
  view.probe_lateness_p99_s = std::chrono::duration<double>(lateness_.p99()).count();
  view.uptime_s = seconds(time - started_);
  for (const seam::WorkerCounters& worker : counters_.workers()) {
    view.workers.push_back(control::view_of(worker));
  }
  for (const seam::PortCounters& port : counters_.ports()) {
    view.ports.push_back({port.name(), port.link_up(), counts(port.values())});
  }
  view.notices = build_notices();
  return view;
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
  if (!publisher_.last_failure().empty()) {
    notices.push_back("the last publication failed: " + publisher_.last_failure());
  }
  for (const ServiceEntry& service : roster_.services()) {
    if (service.last_resort) {
      notices.push_back("service " + service.name +
                        ": every member is down, all take new flows as the last resort");
    }
  }
  return notices;
}

}  // namespace holdfast::control
