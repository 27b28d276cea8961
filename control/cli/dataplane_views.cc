// SPDX-License-Identifier: Apache-2.0
#include "control/cli/dataplane_views.h"

#include "control/admin/views_json.h"
#include "control/admin/wire_views.h"
#include "dataplane/api/client.h"

#include <initializer_list>
#include <string_view>
#include <vector>

namespace holdfast::control {
namespace {

namespace json = boost::json;

void leave_out(json::object& object, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    object.erase(key);
  }
}

const seam::Member* find_member(const DataplaneAnswers& answers, const seam::MemberRef& ref) {
  for (const seam::Service& service : answers.generation.generation().services()) {
    for (const seam::Member& member : service.members()) {
      if (service.name() == ref.service() && member.backend() == ref.backend() &&
          member.address() == ref.address() && member.port() == ref.port()) {
        return &member;
      }
    }
  }
  return nullptr;
}

BackendView backend_view(const DataplaneAnswers& answers, const seam::MemberCounters& counters) {
  BackendView view = to_view(counters);
  if (const seam::Member* member = find_member(answers, counters.ref())) {
    view.weight = member->weight();
    view.tier = static_cast<std::uint8_t>(member->tier());
  }
  return view;
}

ServiceView service_view(const DataplaneAnswers& answers, const seam::Service& service) {
  ServiceView view = to_view(service);
  std::uint64_t flows = 0;
  std::uint64_t new_flows = 0;
  view.backends = static_cast<std::uint32_t>(service.members_size());
  for (const seam::MemberCounters& counters : answers.counters.members()) {
    if (counters.ref().service() != service.name()) {
      continue;
    }
    const BackendView member = backend_view(answers, counters);
    flows += member.flows.value_or(0);
    new_flows += member.new_flows.value_or(0);
    if (!member.retired && member.disposition == "new" && member.weight > 0) {
      ++view.usable;
    }
  }
  view.flows = flows;
  view.new_flows = new_flows;
  return view;
}

}  // namespace

std::expected<DataplaneAnswers, std::string> ask_dataplane(const std::string& socket,
                                                           std::chrono::milliseconds limit) {
  auto client = seam::Client::connect(socket, 0, limit);
  if (!client) {
    return std::unexpected(client.error());
  }
  seam::Request counters;
  counters.mutable_get_counters()->set_members(true);
  seam::Request generation;
  generation.mutable_get_generation();
  auto counted = client->call(std::move(counters), limit);
  if (!counted) {
    return std::unexpected(counted.error());
  }
  auto forwarded = client->call(std::move(generation), limit);
  if (!forwarded) {
    return std::unexpected(forwarded.error());
  }
  return DataplaneAnswers{client->hello(),
                          std::move(*counted->mutable_get_counters()),
                          std::move(*forwarded->mutable_get_generation())};
}

json::object dataplane_status(const DataplaneAnswers& answers) {
  StatusView view;
  view.dataplane_version = answers.hello.build();
  view.dataplane_connected = true;
  view.generation = answers.counters.generation();
  view.mbufs_available = answers.counters.mbufs_available();
  view.mbufs_total = answers.counters.mbufs_total();
  view.state_bytes = answers.counters.state_bytes();
  view.guard_losses = answers.counters.guard_losses();
  view.role = role_text(answers.counters.role());
  if (answers.counters.has_routes()) {
    view.routes = answers.counters.routes().routes();
    view.routes_discarded = answers.counters.routes().discarded();
  }
  for (const seam::WorkerCounters& worker : answers.counters.workers()) {
    view.workers.push_back(to_view(worker));
  }
  for (const seam::PortCounters& port : answers.counters.ports()) {
    view.ports.push_back(to_view(port));
  }
  view.notices.assign(answers.hello.notices().begin(), answers.hello.notices().end());
  json::object status = to_json(view);
  leave_out(status,
            {"version",
             "revision",
             "reloads_applied",
             "reloads_refused",
             "reloads_unchanged",
             "last_reload",
             "adopted_ms",
             "adoption_state_changes",
             "publish_failures",
             "disk_errors",
             "not_in_force",
             "drained",
             "probe_lateness_p99_s",
             "probes_skipped",
             "log_lines_suppressed",
             "log_lines_dropped",
             "counters_age_s",
             "uptime_s"});
  return status;
}

json::object dataplane_services(const DataplaneAnswers& answers) {
  std::vector<ServiceView> views;
  for (const seam::Service& service : answers.generation.generation().services()) {
    views.push_back(service_view(answers, service));
  }
  return services_json(views);
}

json::object dataplane_backends(const DataplaneAnswers& answers) {
  std::vector<BackendView> views;
  for (const seam::MemberCounters& member : answers.counters.members()) {
    views.push_back(backend_view(answers, member));
  }
  json::object backends = backends_json(views);
  for (json::value& backend : backends.at("backends").as_array()) {
    leave_out(
        backend.as_object(),
        {"admin", "health", "cause", "penalty", "since_s", "changes", "check", "file_weight"});
  }
  return backends;
}

}  // namespace holdfast::control
