// SPDX-License-Identifier: Apache-2.0
// A small HTTP/1.1 server for the API (Unix socket) and the metrics (TCP): one coroutine per
// connection on the control thread, bounded in header, body, connections and time, so that a peer
// that sends garbage, too much or too slowly is answered or cut off and costs no more than that.
// Says nothing of what is served: a handler turns requests into responses.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

namespace holdfast::control {

struct HttpRequest {
  std::string method;  // HEAD arrives as GET; its response's body is not sent
  std::string target;  // as in the request line
  std::string body;
  std::string who;       // over a Unix socket the peer's user, "uid=1000(ops)"; over TCP empty
  std::string accept{};  // what media types the peer takes
  std::string last_event_id{};  // of a stream of server-sent events that broke off
};

// What follows a response's head, piece by piece, for as long as there is more: waits for the next
// one, and is asked again once the peer has taken it. nullopt: that was all.
using HttpStream = std::function<boost::asio::awaitable<std::optional<std::string>>()>;

struct HttpResponse {
  std::uint16_t status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::string allow;  // for 405: the methods that the path knows
  HttpStream stream;  // instead of a body, until the connection ends; may be empty
};

// A target without its query.
constexpr std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

// Runs on the server's executor. What it throws becomes a 500 without detail.
using HttpHandler = std::function<boost::asio::awaitable<HttpResponse>(HttpRequest)>;

struct HttpLimits {
  std::size_t header_bytes = 8 * 1024;
  std::size_t body_bytes = 64 * 1024;
  std::size_t connections = 64;               // one more is answered 503 and closed
  std::size_t streams = 16;                   // likewise, of these
  std::chrono::milliseconds request{5'000};   // from a request's first wait to its last byte
  std::chrono::milliseconds response{5'000};  // to take the response, or a piece of a stream
};

class HttpServer {
 public:
  HttpServer(boost::asio::any_io_executor executor, HttpHandler handler, HttpLimits limits = {});
  // Stops. What a handler is still doing goes on to its end; its response is not sent.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Accepts connections from a copy of a listening, non-blocking socket of that address family
  // until stop(). Requires: called once.
  void serve(int listening_descriptor, int family);
  // Accepts nothing more and closes every connection.
  void stop();
  [[nodiscard]] std::size_t connections() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the connections' coroutines, which may end later
};

}  // namespace holdfast::control
