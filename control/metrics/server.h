// SPDX-License-Identifier: Apache-2.0
// Serves GET and HEAD over TCP, loopback by default: /metrics (Prometheus text), /livez (control
// runs), /readyz (traffic may come, readiness.h) and /healthz (it forwards by its configuration,
// liveness.h). The last three answer 200 "ok", else 503 and why not. Control thread.
#pragma once

#include "control/admin/http.h"
#include "control/admin/listener.h"
#include "control/admin/operator.h"
#include "control/metrics/collector.h"
#include "control/metrics/liveness.h"

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>

namespace holdfast::control {

class MetricsServer {
 public:
  // Requires: `source` outlives the server.
  MetricsServer(boost::asio::any_io_executor executor, Operator& source, HttpLimits limits = {});

  // Opens "address:port" (port 0: a free one) and begins to answer, or says why not and what to
  // do. Writes the port as bound to `port_file` unless that is empty; a full disk only means that
  // it is not there. Requires: called once.
  struct Listening {
    std::uint16_t port = 0;
    std::string file_problem;  // empty: written
  };
  std::expected<Listening, std::string> listen(std::string_view endpoint,
                                               const std::string& port_file);
  // Closes the connections and removes the port file.
  void stop();

 private:
  HttpResponse answer(const HttpRequest& request);

  Operator& source_;
  Collector collector_;
  ScrapeText text_;
  Liveness liveness_;
  TcpListener listener_;
  std::string port_file_;
  HttpServer http_;
};

}  // namespace holdfast::control
