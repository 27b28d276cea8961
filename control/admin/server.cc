// SPDX-License-Identifier: Apache-2.0
// See server.h.
#include "control/admin/server.h"

#include "control/admin/event_stream.h"
#include "control/admin/flow_body.h"
#include "control/admin/readiness.h"
#include "control/admin/verb_body.h"
#include "control/admin/views_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/serialize.hpp>
#include <sys/socket.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;

// How fresh a view must be: a listing waits this long for new counters, then takes the last.
constexpr std::chrono::milliseconds kRefreshLimit{200};

HttpResponse reply(std::uint16_t status, const json::object& body) {
  HttpResponse response;
  response.status = status;
  response.body = json::serialize(body) + "\n";
  return response;
}

std::uint16_t http_status(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return 200;
    case Outcome::kUsage:
      return 400;
    case Outcome::kInvalidConfiguration:
      return 422;
    case Outcome::kUnreachable:
      return 503;
    case Outcome::kRefused:
      return 409;
    case Outcome::kTimedOut:
      return 504;
    case Outcome::kFailed:
      break;
  }
  return 500;
}

HttpResponse reply(const VerbResult& result) {
  return reply(http_status(result.outcome), to_json(result));
}

HttpResponse usage(std::string line) {
  return reply(VerbResult{Outcome::kUsage, {std::move(line)}});
}

enum class Path : std::uint8_t {
  kStatus,
  kServices,
  kBackends,
  kHealth,
  kRevisions,
  kEvents,
  kFlows,
  kFlowsReset,
  kFlowsMove,
  kSources,
  kWhy,
  kChange,
  kNode,
  kConfiguration
};

struct Route {
  std::string_view target;
  std::string_view method;
  Path path;
  AdminVerb verb = AdminVerb::kDrain;            // of kChange
  ConfigVerb config_verb = ConfigVerb::kReload;  // of kConfiguration
  NodeVerb node = NodeVerb::kDrain;              // of kNode
};

constexpr std::string_view kWhyOf = "/v1/why/";
constexpr std::string_view kSourcesOf = "/v1/revisions/";  // and a number, or "file"

constexpr std::array<Route, 27> kRoutes = {{
    {"/v1/status", "GET", Path::kStatus},
    {"/v1/services", "GET", Path::kServices},
    {"/v1/backends", "GET", Path::kBackends},
    {"/v1/health", "GET", Path::kHealth},
    {"/v1/why/SERVICE/BACKEND", "GET", Path::kWhy},
    {"/v1/drain", "POST", Path::kChange, AdminVerb::kDrain},
    {"/v1/undrain", "POST", Path::kChange, AdminVerb::kUndrain},
    {"/v1/maintenance", "POST", Path::kChange, AdminVerb::kMaintenance},
    {"/v1/enable", "POST", Path::kChange, AdminVerb::kEnable},
    {"/v1/weight", "POST", Path::kChange, AdminVerb::kWeight},
    {"/v1/migrate", "POST", Path::kChange, AdminVerb::kMigrate},
    {"/v1/clear-damping", "POST", Path::kChange, AdminVerb::kClearDamping},
    {"/v1/flows", "GET", Path::kFlows},
    {"/v1/flows/reset", "POST", Path::kFlowsReset},
    {"/v1/flows/move", "POST", Path::kFlowsMove},
    {"/v1/node/drain", "POST", Path::kNode, {}, {}, NodeVerb::kDrain},
    {"/v1/node/undrain", "POST", Path::kNode, {}, {}, NodeVerb::kUndrain},
    {"/v1/node/active", "POST", Path::kNode, {}, {}, NodeVerb::kActive},
    {"/v1/node/standby", "POST", Path::kNode, {}, {}, NodeVerb::kStandby},
    {"/v1/reload", "POST", Path::kConfiguration, {}, ConfigVerb::kReload},
    {"/v1/events", "GET", Path::kEvents},
    {"/v1/revisions", "GET", Path::kRevisions},
    {"/v1/revisions/N", "GET", Path::kSources},
    {"/v1/rollback", "POST", Path::kConfiguration, {}, ConfigVerb::kRollback},
    {"/v1/plan", "POST", Path::kConfiguration, {}, ConfigVerb::kPlan},
    {"/v1/apply", "POST", Path::kConfiguration, {}, ConfigVerb::kApply},
    {"/v1/confirm", "POST", Path::kConfiguration, {}, ConfigVerb::kConfirm},
}};

asio::awaitable<HttpResponse> view(Operator& target, Path path) {
  if (path == Path::kRevisions) {
    const std::vector<RevisionView> revisions = co_await target.history();
    co_return reply(200, revisions_json(revisions));
  }
  co_await target.refresh(kRefreshLimit);
  if (path == Path::kStatus) {
    co_return reply(200, to_json(target.status()));
  }
  if (path == Path::kHealth) {
    const std::vector<ServiceView> services = target.services();
    co_return reply(200, health_json(not_ready(target.status(), services)));
  }
  if (path == Path::kServices) {
    co_return reply(200, services_json(target.services()));
  }
  co_return reply(200, backends_json(target.backends()));
}

asio::awaitable<HttpResponse> sources(Operator& target, std::string which) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), number);
  const bool is_number = error == std::errc() && end == which.data() + which.size();
  if (!is_number && which != "file") {
    co_return usage("'" + which + "' is neither a revision's number nor file");
  }
  const auto files = co_await target.sources(is_number ? std::optional(number) : std::nullopt);
  if (!files) {
    co_return usage(files.error());
  }
  co_return reply(200, to_json(*files));
}

asio::awaitable<HttpResponse> why(Operator& target, std::string object) {
  co_await target.refresh(kRefreshLimit);
  const std::optional<WhyView> view = target.why(object);
  co_return view ? reply(200, to_json(*view)) : usage("there is no backend '" + object + "'");
}

// Named and moved in: GCC 12 destroys an aggregate temporary of a co_await twice.
asio::awaitable<VerbResult> carry_out(Operator& target,
                                      ConfigVerb verb,
                                      ConfigBody body,
                                      Caller caller) {
  switch (verb) {
    case ConfigVerb::kRollback: {
      RollbackRequest request{body.revision, std::move(caller), body.force};
      co_return co_await target.roll_back(std::move(request));
    }
    case ConfigVerb::kPlan:
      co_return co_await target.plan(std::move(body.path));
    case ConfigVerb::kApply: {
      ApplyRequest request{std::move(body.path), std::move(caller), body.confirm, body.force};
      co_return co_await target.apply(std::move(request));
    }
    case ConfigVerb::kConfirm: {
      ConfirmRequest request{body.revision, std::move(caller)};
      co_return co_await target.confirm(std::move(request));
    }
    case ConfigVerb::kReload:
      break;
  }
  co_return co_await target.reload(std::move(caller));
}

asio::awaitable<HttpResponse> config_verb(Operator& target, ConfigVerb verb, HttpRequest request) {
  auto body = read_config_body(verb, request.body);
  if (!body) {
    co_return usage(body.error());
  }
  Caller caller{std::move(request.who), std::move(body->reason)};
  VerbResult result = co_await carry_out(target, verb, std::move(*body), std::move(caller));
  co_return reply(result);
}

// Its body has what a reload's has: a reason, or nothing.
asio::awaitable<HttpResponse> node_verb(Operator& target, NodeVerb verb, HttpRequest request) {
  auto body = read_config_body(ConfigVerb::kReload, request.body);
  if (!body) {
    co_return usage(body.error());
  }
  Caller caller{std::move(request.who), std::move(body->reason)};
  NodeRequest order{verb, std::move(caller)};
  VerbResult result = co_await target.order_node(std::move(order));
  co_return reply(result);
}

asio::awaitable<HttpResponse> flows(Operator& target, std::string wanted) {
  auto query = read_flows_query(wanted);
  if (!query) {
    co_return usage(query.error());
  }
  const FlowsView view = co_await target.flows(std::move(*query));
  co_return reply(http_status(view.result.outcome), to_json(view));
}

// One request of a body, read by `read`, carried out by `carry_out`.
template <typename Read, typename Request>
asio::awaitable<HttpResponse> flows_verb(
    Operator& target,
    HttpRequest request,
    Read read,
    asio::awaitable<VerbResult> (Operator::*carry_out)(Request)) {
  auto asked = read(request.body);
  if (!asked) {
    co_return usage(asked.error());
  }
  asked->caller.who = request.who;
  const VerbResult result = co_await (target.*carry_out)(std::move(*asked));
  co_return reply(result);
}

asio::awaitable<HttpResponse> verb(Operator& target, const Route* route, HttpRequest request) {
  if (route->path == Path::kConfiguration) {
    co_return co_await config_verb(target, route->config_verb, std::move(request));
  }
  if (route->path == Path::kNode) {
    co_return co_await node_verb(target, route->node, std::move(request));
  }
  if (route->path == Path::kFlowsReset) {
    co_return co_await flows_verb(
        target, std::move(request), read_flows_reset, &Operator::reset_flows);
  }
  if (route->path == Path::kFlowsMove) {
    co_return co_await flows_verb(
        target, std::move(request), read_flows_move, &Operator::move_flows);
  }
  auto change = read_change(route->verb, request.body);
  if (!change) {
    co_return usage(change.error());
  }
  change->caller.who = request.who;
  VerbResult result = co_await target.change(std::move(*change));
  co_return reply(result);
}

asio::awaitable<HttpResponse> events(Operator& target, HttpRequest request) {
  if (request.target.ends_with("?follow") || request.accept.contains("text/event-stream")) {
    co_return follow_events(target, request.last_event_id);
  }
  const EventsView all = co_await target.events(0, 0, std::chrono::milliseconds(0));
  co_return reply(200, events_json(all.events));
}

HttpResponse not_found() {
  std::string known;
  for (const Route& route : kRoutes) {
    known += std::string(known.empty() ? "" : ", ") + std::string(route.target);
  }
  return reply(404, to_json(VerbResult{Outcome::kUsage, {"no such path; there are " + known}}));
}

HttpResponse wrong_method(const Route& route) {
  const std::string allow = route.method == "GET" ? "GET, HEAD" : std::string(route.method);
  HttpResponse response = reply(
      405, to_json(VerbResult{Outcome::kUsage, {std::string(route.target) + " takes " + allow}}));
  response.allow = allow;
  return response;
}

// kRoutes.end(): there is none.
const Route* find_route(std::string_view path) {
  if (path.starts_with(kSourcesOf)) {
    return std::ranges::find(kRoutes, Path::kSources, &Route::path);
  }
  return path.starts_with(kWhyOf) ? std::ranges::find(kRoutes, Path::kWhy, &Route::path)
                                  : std::ranges::find(kRoutes, path, &Route::target);
}

}  // namespace

asio::awaitable<HttpResponse> answer(Operator& target, HttpRequest request) {
  const std::string_view path = path_of(request.target);
  const Route* const route = find_route(path);
  // A view ignores a query. A verb must not: who writes /v1/drain?dry_run=true means it.
  if (route == kRoutes.end() || (route->method != "GET" && route->target != request.target)) {
    co_return not_found();
  }
  if (route->method != request.method) {
    co_return wrong_method(*route);
  }
  if (route->path == Path::kSources) {
    std::string which(path.substr(kSourcesOf.size()));
    co_return co_await sources(target, std::move(which));
  }
  if (route->path == Path::kWhy) {
    std::string object(path.substr(kWhyOf.size()));
    co_return co_await why(target, std::move(object));
  }
  if (route->path == Path::kEvents) {
    co_return co_await events(target, std::move(request));
  }
  if (route->path == Path::kFlows) {
    co_return co_await flows(target, std::move(request.target));
  }
  if (route->method == "GET") {
    co_return co_await view(target, route->path);
  }
  co_return co_await verb(target, route, std::move(request));
}

AdminServer::AdminServer(asio::any_io_executor executor, Operator& target, HttpLimits limits)
    : http_(
          std::move(executor),
          [&target](HttpRequest request) { return answer(target, std::move(request)); },
          limits) {}

std::expected<void, std::string> AdminServer::listen(const std::string& path) {
  auto opened = UnixListener::open(path);
  if (!opened) {
    return std::unexpected(opened.error());
  }
  listener_.emplace(std::move(*opened));
  http_.serve(listener_->descriptor(), AF_UNIX);
  return {};
}

void AdminServer::stop() {
  http_.stop();
  listener_.reset();
}

}  // namespace holdfast::control
