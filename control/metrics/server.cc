// SPDX-License-Identifier: Apache-2.0
// See server.h.
#include "control/metrics/server.h"

#include "control/admin/readiness.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/socket.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;

constexpr std::array<std::string_view, 4> kPaths = {"/metrics", "/livez", "/readyz", "/healthz"};

HttpResponse plain_answer(std::uint16_t status, std::string text) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(text);
  response.content_type = "text/plain; charset=utf-8";
  return response;
}

asio::awaitable<HttpResponse> at_once(HttpResponse response) { co_return response; }

int family_of(std::string_view address) {
  return address.find(':') == std::string_view::npos ? AF_INET : AF_INET6;
}

// By a rename, so that a reader never sees half a number.
bool write_port(const std::string& path, std::uint16_t port) {
  const std::string draft = path + ".new";
  std::ofstream file(draft);
  file << port << '\n';
  file.close();
  std::error_code error;
  std::filesystem::rename(draft, path, error);
  return !file.fail() && !error;
}

}  // namespace

MetricsServer::MetricsServer(asio::any_io_executor executor, Operator& source, HttpLimits limits)
    : source_(source),
      collector_(source),
      text_(collector_),
      http_(
          std::move(executor),
          [this](const HttpRequest& request) { return at_once(answer(request)); },
          limits) {}

HttpResponse MetricsServer::answer(const HttpRequest& request) {
  const std::string_view path = path_of(request.target);  // Prometheus may add `params`
  if (std::ranges::find(kPaths, path) == kPaths.end()) {
    return plain_answer(404, "there are /metrics, /livez, /readyz and /healthz\n");
  }
  if (request.method != "GET") {
    HttpResponse response = plain_answer(405, "GET and HEAD only\n");
    response.allow = "GET, HEAD";
    return response;
  }
  if (path == "/livez") {
    return plain_answer(200, "ok\n");
  }
  if (path == "/readyz") {
    const std::vector<ServiceView> services = source_.services();
    std::string reasons;
    for (const std::string& reason : not_ready(source_.status(), services)) {
      reasons += reason + "\n";
    }
    return reasons.empty() ? plain_answer(200, "ok\n") : plain_answer(503, reasons);
  }
  const auto now = std::chrono::steady_clock::now();
  if (path == "/metrics") {
    HttpResponse response = plain_answer(200, text_.at(now));
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
  }
  const std::string reason = liveness_.observe(source_.status(), now);
  return reason.empty() ? plain_answer(200, "ok\n") : plain_answer(503, reason + "\n");
}

std::expected<MetricsServer::Listening, std::string> MetricsServer::listen(
    std::string_view endpoint, const std::string& port_file) {
  auto listener = listen_tcp(endpoint);
  if (!listener) {
    return std::unexpected(listener.error());
  }
  Listening listening{.port = listener->port, .file_problem = {}};
  if (!port_file.empty() && !write_port(port_file, listener->port)) {
    listening.file_problem = "cannot write " + port_file;
  }
  listener_ = std::move(*listener);
  port_file_ = port_file;
  http_.serve(listener_.socket.get(), family_of(listener_.address));
  return listening;
}

void MetricsServer::stop() {
  http_.stop();
  listener_.socket.reset();
  if (!port_file_.empty()) {
    std::error_code ignored;
    std::filesystem::remove(port_file_, ignored);
  }
}

}  // namespace holdfast::control
