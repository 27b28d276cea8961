// SPDX-License-Identifier: Apache-2.0
// See server.h.
#include "control/admin/server.h"

#include "control/admin/views_json.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <sys/socket.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;

constexpr std::size_t kMaxObjectBytes = 512;
constexpr std::size_t kMaxReasonBytes = 256;

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

struct VerbBody {
  std::string object;
  std::string reason;
};

// The field as text. Control characters would forge lines in the log.
std::expected<std::string, std::string> read_text(const json::key_value_pair& field,
                                                  std::size_t limit) {
  const std::string key(field.key());
  const json::string* text = field.value().if_string();
  if (text == nullptr || text->size() > limit) {
    return std::unexpected("'" + key + "' must be a string of at most " + std::to_string(limit) +
                           " bytes");
  }
  if (std::ranges::any_of(*text, [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
    return std::unexpected("'" + key + "' must hold no control characters");
  }
  return std::string(text->data(), text->size());
}

struct BodyField {
  std::string_view key;
  std::size_t limit;
  std::string VerbBody::* member;
};

constexpr std::array<BodyField, 2> kBodyFields = {{
    {"object", kMaxObjectBytes, &VerbBody::object},
    {"reason", kMaxReasonBytes, &VerbBody::reason},
}};

std::expected<VerbBody, std::string> read_body(const std::string& text) {
  VerbBody body;
  if (text.empty()) {
    return body;
  }
  json::error_code error;
  const json::value parsed = json::parse(text, error);
  const json::object* object = error ? nullptr : parsed.if_object();
  if (object == nullptr) {
    return std::unexpected("the body must be a JSON object");
  }
  for (const json::key_value_pair& field : *object) {
    const auto* const known = std::ranges::find(
        kBodyFields, std::string_view(field.key().data(), field.key().size()), &BodyField::key);
    if (known == kBodyFields.end()) {
      return std::unexpected("unknown key '" + std::string(field.key()) +
                             "': there are 'object' and 'reason'");
    }
    auto value = read_text(field, known->limit);
    if (!value) {
      return std::unexpected(value.error());
    }
    body.*(known->member) = std::move(*value);
  }
  return body;
}

enum class Path : std::uint8_t { kStatus, kServices, kBackends, kDrain, kUndrain, kReload };

struct Route {
  std::string_view target;
  std::string_view method;
  Path path;
};

constexpr std::array<Route, 6> kRoutes = {{
    {"/v1/status", "GET", Path::kStatus},
    {"/v1/services", "GET", Path::kServices},
    {"/v1/backends", "GET", Path::kBackends},
    {"/v1/drain", "POST", Path::kDrain},
    {"/v1/undrain", "POST", Path::kUndrain},
    {"/v1/reload", "POST", Path::kReload},
}};

asio::awaitable<HttpResponse> view(Operator& target, Path path) {
  co_await target.refresh(kRefreshLimit);
  if (path == Path::kStatus) {
    co_return reply(200, to_json(target.status()));
  }
  if (path == Path::kServices) {
    co_return reply(200, services_json(target.services()));
  }
  co_return reply(200, backends_json(target.backends()));
}

asio::awaitable<HttpResponse> verb(Operator& target, Path path, HttpRequest request) {
  std::expected<VerbBody, std::string> body = read_body(request.body);
  if (!body) {
    co_return usage(body.error());
  }
  Caller caller{request.who, body->reason};
  if (path == Path::kReload) {
    if (!body->object.empty()) {
      co_return usage("a reload has no 'object'");
    }
    VerbResult result = co_await target.reload(std::move(caller));
    co_return reply(result);
  }
  if (body->object.empty()) {
    co_return usage("'object' is missing: SERVICE/BACKEND, BACKEND or host:ADDRESS");
  }
  if (path == Path::kDrain) {
    VerbResult result = co_await target.drain(body->object, std::move(caller));
    co_return reply(result);
  }
  VerbResult result = co_await target.undrain(body->object, std::move(caller));
  co_return reply(result);
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

}  // namespace

asio::awaitable<HttpResponse> answer(Operator& target, HttpRequest request) {
  const auto* const route = std::ranges::find(kRoutes, request.target, &Route::target);
  if (route == kRoutes.end()) {
    co_return not_found();
  }
  if (route->method != request.method) {
    co_return wrong_method(*route);
  }
  if (route->method == "GET") {
    co_return co_await view(target, route->path);
  }
  co_return co_await verb(target, route->path, std::move(request));
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
