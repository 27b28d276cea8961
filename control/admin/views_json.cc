// SPDX-License-Identifier: Apache-2.0
// See views_json.h. A field of a view is a key here, and one more line of its test.
#include "control/admin/views_json.h"

#include <array>
#include <optional>
#include <utility>

#include <boost/json/value_from.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

constexpr std::array<std::pair<Outcome, std::string_view>, 7> kOutcomes = {{
    {Outcome::kOk, "ok"},
    {Outcome::kFailed, "failed"},
    {Outcome::kUsage, "usage"},
    {Outcome::kInvalidConfiguration, "invalid_configuration"},
    {Outcome::kUnreachable, "unreachable"},
    {Outcome::kRefused, "refused"},
    {Outcome::kTimedOut, "timed_out"},
}};

json::array strings(std::span<const std::string> lines) {
  json::array result;
  result.reserve(lines.size());
  for (const std::string& line : lines) {
    result.emplace_back(line);
  }
  return result;
}

json::object counts(std::span<const NamedCount> named) {
  json::object result;
  result.reserve(named.size());
  for (const NamedCount& count : named) {
    result[count.name] = count.value;
  }
  return result;
}

json::object to_json(const CheckView& check) {
  return {{"type", check.type},
          {"passed", check.passed},
          {"failed", check.failed},
          {"voided", check.voided},
          {"streak", check.streak},
          {"last_layer", check.last_layer},
          {"last_reason", check.last_reason},
          {"last_duration_s", check.last_duration_s}};
}

json::object to_json(const WorkerView& worker) {
  return {{"worker", worker.worker},
          {"counters", counts(worker.counters)},
          {"drops", counts(worker.drops)},
          {"generated", counts(worker.generated)},
          {"flows", counts(worker.flows)},
          {"capacity", counts(worker.capacity)},
          {"unaccounted", worker.unaccounted},
          {"busy_ratio", worker.busy_ratio},
          {"silent_s", worker.silent_s}};
}

json::object to_json(const MovesView& moves) {
  return {{"moved", counts(moves.moved)},
          {"untracked", moves.untracked},
          {"reset", moves.reset},
          {"asked", moves.asked},
          {"unanswered", moves.unanswered},
          {"by_order",
           {{"reset", moves.ordered_reset},
            {"asked", moves.ordered_asked},
            {"unanswered", moves.ordered_unanswered}}}};
}

json::object to_json(const PortView& port) {
  return {{"name", port.name}, {"link_up", port.link_up}, {"counters", counts(port.counters)}};
}

json::object to_json(const ReloadView& reload) {
  return {{"result", reload.result}, {"age_s", reload.age_s}, {"lines", strings(reload.lines)}};
}

json::object to_json(const DriftView& drift) {
  json::object object = {{"what", drift.what},
                         {"file", drift.file},
                         {"who", drift.who},
                         {"reason", drift.reason},
                         {"age_s", drift.age_s}};
  if (drift.deadline_s) {
    object.emplace("deadline_s", *drift.deadline_s);
  }
  if (!drift.then.empty()) {
    object.emplace("then", drift.then);
  }
  if (drift.expires_s) {
    object.emplace("expires_s", *drift.expires_s);
  }
  return object;
}

// null: not known.
json::value known(const std::optional<std::uint64_t>& count) {
  return count ? json::value(*count) : json::value();
}

template <typename View>
json::array list(std::span<const View> views) {
  json::array result;
  result.reserve(views.size());
  for (const View& view : views) {
    result.emplace_back(to_json(view));
  }
  return result;
}

json::value to_json(const std::optional<TrialView>& trial) {
  if (!trial) {
    return nullptr;
  }
  return {{"falls_back_to", trial->falls_back_to}, {"left_s", trial->left_s}};
}

}  // namespace

json::object to_json(const StatusView& status) {
  return {{"version", status.version},
          {"dataplane_version", status.dataplane_version},
          {"dataplane_connected", status.dataplane_connected},
          {"revision", status.revision},
          {"trial", to_json(status.trial)},
          {"generation", known(status.generation)},
          {"reloads_applied", status.reloads_applied},
          {"reloads_refused", status.reloads_refused},
          {"reloads_unchanged", status.reloads_unchanged},
          {"last_reload", to_json(status.last_reload)},
          {"adopted_ms", status.adopted_ms},
          {"adoption_state_changes", status.adoption_state_changes},
          {"publish_failures", status.publish_failures},
          {"disk_errors", status.disk_errors},
          {"mbufs_available", known(status.mbufs_available)},
          {"mbufs_total", known(status.mbufs_total)},
          {"state_bytes", known(status.state_bytes)},
          {"guard_losses", known(status.guard_losses)},
          {"routes", known(status.routes)},
          {"routes_discarded", known(status.routes_discarded)},
          {"drained", status.drained ? json::value(to_json(*status.drained)) : json::value()},
          {"role", status.role},
          {"not_in_force", status.not_in_force},
          {"probe_lateness_p99_s", status.probe_lateness_p99_s},
          {"probes_skipped", status.probes_skipped},
          {"log_lines_suppressed", status.log_lines_suppressed},
          {"log_lines_dropped", status.log_lines_dropped},
          {"uptime_s", status.uptime_s},
          {"counters_age_s", status.counters_age_s},
          {"workers", list(std::span(status.workers))},
          {"ports", list(std::span(status.ports))},
          {"notices", strings(status.notices)}};
}

json::object to_json(const ServiceView& service) {
  json::object object = {{"name", service.name},
                         {"mode", service.mode},
                         {"vips", strings(service.vips)},
                         {"ports", strings(service.ports)},
                         {"slots", service.slots},
                         {"backends", service.backends},
                         {"usable", service.usable},
                         {"flows", known(service.flows)},
                         {"new_flows", known(service.new_flows)}};
  if (!service.affinity.empty()) {
    object.emplace("affinity", service.affinity);
  }
  if (service.moves) {
    object.emplace("moves", to_json(*service.moves));
  }
  return object;
}

json::object to_json(const BackendView& backend) {
  json::object object = {{"service", backend.service},
                         {"name", backend.name},
                         {"address", backend.address},
                         {"port", backend.port},
                         {"weight", backend.weight},
                         {"file_weight", backend.file_weight},
                         {"tier", backend.tier},
                         {"admin", backend.admin},
                         {"health", backend.health},
                         {"disposition", backend.disposition},
                         {"cause", backend.cause},
                         {"since_s", backend.since_s},
                         {"changes", backend.changes},
                         {"check", to_json(backend.check)},
                         {"penalty", backend.penalty},
                         {"flows", known(backend.flows)},
                         {"new_flows", known(backend.new_flows)},
                         {"packets_to_member", known(backend.packets_to_member)},
                         {"bytes_to_member", known(backend.bytes_to_member)},
                         {"packets_to_client", known(backend.packets_to_client)},
                         {"bytes_to_client", known(backend.bytes_to_client)},
                         {"refusals", known(backend.refusals)},
                         {"last_new_flow_unix_ns", known(backend.last_new_flow_unix_ns)},
                         {"retired", backend.retired}};
  if (!backend.drift.empty()) {
    object.emplace("drift", list(std::span(backend.drift)));
  }
  if (backend.held_left_s) {
    object.emplace("held_left_s", *backend.held_left_s);
  }
  if (backend.drain_estimate_s) {
    object.emplace("drain_estimate_s", *backend.drain_estimate_s);
  }
  return object;
}

json::object to_json(const WhyView& why) {
  json::array results;
  for (const ResultView& result : why.results) {
    results.emplace_back(json::object{{"unix_ms", result.unix_ms},
                                      {"result", result.result},
                                      {"duration_s", result.duration_s},
                                      {"lateness_s", result.lateness_s},
                                      {"void", result.is_void}});
  }
  return {{"backend", to_json(why.backend)}, {"check", why.check}, {"results", std::move(results)}};
}

json::object to_json(const VerbResult& result) {
  json::object object = {{"outcome", outcome_name(result.outcome)},
                         {"lines", strings(result.lines)}};
  if (!result.members.empty()) {
    object.emplace("members", strings(result.members));
  }
  if (!result.counts.empty()) {
    object.emplace("counts", counts(result.counts));
  }
  return object;
}

json::object to_json(const FlowView& flow) {
  json::object object = {{"service", flow.service},
                         {"backend", flow.backend},
                         {"client", flow.client},
                         {"client_port", flow.client_port},
                         {"vip", flow.vip},
                         {"port", flow.port},
                         {"protocol", flow.protocol},
                         {"mode", flow.mode},
                         {"state", flow.state},
                         {"age_s", flow.age_s}};
  if (!flow.pool.empty()) {
    object.emplace("pool", flow.pool);
    object.emplace("pool_port", flow.pool_port);
  }
  return object;
}

json::object to_json(const FlowsView& view) {
  if (view.result.outcome != Outcome::kOk) {
    return to_json(view.result);
  }
  json::array flows;
  flows.reserve(view.flows.size());
  for (const FlowView& flow : view.flows) {
    flows.emplace_back(to_json(flow));
  }
  return {{"matched", view.matched}, {"flows", std::move(flows)}};
}

json::object to_json(const RevisionView& revision) {
  json::object object = {{"number", revision.number},
                         {"unix_ms", revision.unix_ms},
                         {"who", revision.who},
                         {"reason", revision.reason},
                         {"origin", revision.origin},
                         {"running", revision.running}};
  if (!revision.problem.empty()) {
    object.emplace("problem", revision.problem);
  }
  return object;
}

json::object to_json(const EventView& event) {
  json::array services;
  for (const ServiceMovesView& one : event.services) {
    json::object moves = to_json(one.moves);
    moves.emplace("service", one.service);
    services.emplace_back(std::move(moves));
  }
  json::object object = {{"number", event.number},
                         {"unix_ms", event.unix_ms},
                         {"kind", event.kind},
                         {"object", event.object},
                         {"who", event.who},
                         {"reason", event.reason},
                         {"services", std::move(services)},
                         {"frames",
                          {{"held", event.frames.held},
                           {"released", event.frames.released},
                           {"dropped", event.frames.dropped}}},
                         {"settled", event.settled}};
  if (event.forgotten) {
    object.emplace("forgotten", *event.forgotten);
  }
  return object;
}

json::object to_json(const SourcesView& sources) {
  json::array files;
  for (const config::SourceFile& file : sources.files) {
    files.push_back({{"name", file.name}, {"text", file.text}});
  }
  return {{"name", sources.name}, {"files", std::move(files)}};
}

json::object health_json(std::span<const std::string> reasons) {
  return {{"ready", reasons.empty()}, {"reasons", strings(reasons)}};
}

json::object revisions_json(std::span<const RevisionView> revisions) {
  return {{"revisions", list(revisions)}};
}

json::object events_json(std::span<const EventView> events) { return {{"events", list(events)}}; }

json::object services_json(std::span<const ServiceView> services) {
  return {{"services", list(services)}};
}

json::object backends_json(std::span<const BackendView> backends) {
  return {{"backends", list(backends)}};
}

std::string_view outcome_name(Outcome outcome) {
  for (const auto& [value, name] : kOutcomes) {
    if (value == outcome) {
      return name;
    }
  }
  return "failed";
}

Outcome outcome_of(std::string_view name) {
  for (const auto& [value, text] : kOutcomes) {
    if (text == name) {
      return value;
    }
  }
  return Outcome::kFailed;
}

}  // namespace holdfast::control
