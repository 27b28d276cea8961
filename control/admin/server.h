// SPDX-License-Identifier: Apache-2.0
// The operator's API: HTTP over control's Unix socket, for the CLI and for scripts (curl
// --unix-socket). Whoever may open the socket may do everything; the peer's user goes into the
// audit as Caller.who. Runs on the control thread, over the one Operator.
//
//   GET  /v1/status /v1/services /v1/backends      -> the views as JSON
//   GET  /v1/health                                -> {"ready", "reasons"} (readiness.h)
//   POST /v1/drain /v1/undrain /v1/maintenance /v1/enable /v1/weight /v1/migrate
//                                  {"objects", ...} (verb_body.h) -> {"outcome", "lines",
//                                  "members"}
//   GET  /v1/events                                -> the ledger; with ?follow, or where the peer
//                                  accepts text/event-stream, as a stream (event_stream.h)
//   GET  /v1/revisions                             -> those kept, the newest first
//   GET  /v1/revisions/N /v1/revisions/file        -> {"name", "files": [{"name", "text"}]}
//   POST /v1/rollback {"revision", "reason", "force"} or nothing -> {"outcome", "lines"}
//   POST /v1/plan {"path"}, /v1/apply {"path", "confirm_ms", "reason", "force"},
//        /v1/confirm {"revision", "reason"} or nothing -> {"outcome", "lines"}
//   POST /v1/reload {"reason"} or nothing          -> {"outcome", "lines"}
//
// A verb's status is 200, 400 (usage), 409 (refused), 422 (invalid configuration), 504 (timed out),
// 503 (dataplane not reachable) or 500 (failed), by its Outcome.
#pragma once

#include "control/admin/http.h"
#include "control/admin/listener.h"
#include "control/admin/operator.h"

#include <expected>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>

namespace holdfast::control {

// Answers one API request. Requires: `target` outlives the coroutine. Control thread.
boost::asio::awaitable<HttpResponse> answer(Operator& target, HttpRequest request);

class AdminServer {
 public:
  // Requires: `target` outlives the server.
  AdminServer(boost::asio::any_io_executor executor, Operator& target, HttpLimits limits = {});

  // Opens the socket and begins to answer, or says in one sentence why not and what to do.
  // Requires: called once.
  std::expected<void, std::string> listen(const std::string& path);
  // Closes the connections and removes the socket file.
  void stop();
  [[nodiscard]] std::size_t connections() const { return http_.connections(); }

 private:
  HttpServer http_;
  std::optional<UnixListener> listener_;
};

}  // namespace holdfast::control
