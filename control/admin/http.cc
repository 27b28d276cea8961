// SPDX-License-Identifier: Apache-2.0
// Beast behind http.h. Each stream has one deadline timer of its own (basic_stream), set anew for
// every request, so no operator|| and no cancellation slots are needed (Boost 1.81 traps there).
#include "control/admin/http.h"

#include "control/admin/peer.h"

#include <algorithm>
#include <array>
#include <exception>
#include <list>
#include <optional>
#include <string_view>
#include <utility>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <fcntl.h>
#include <sys/socket.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using Protocol = asio::generic::stream_protocol;
using Acceptor = asio::basic_socket_acceptor<Protocol>;
using Stream = beast::basic_stream<Protocol>;
using Parser = http::request_parser<http::string_body>;
using Message = http::response<http::string_body>;

constexpr std::string_view kBusy =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n"
    "Connection: close\r\n\r\ntoo many connections\n";
constexpr std::size_t kReadAhead = 8 * 1024;       // of the body or the next request
constexpr std::size_t kDiscardBytes = 256 * 1024;  // read and thrown away before a close
// When descriptors run out, accept fails at once and for ever; a pause leaves others the thread.
constexpr std::chrono::milliseconds kAcceptPause{100};

HttpResponse plain(std::uint16_t status, std::string text) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(text);
  response.content_type = "text/plain";
  return response;
}

Message make_message(HttpResponse response, unsigned version, bool head) {
  Message message(http::int_to_status(response.status), version);
  message.set(http::field::server, "holdfast");
  message.set(http::field::content_type, response.content_type);
  message.set(http::field::cache_control, "no-store");
  if (!response.allow.empty()) {
    message.set(http::field::allow, response.allow);
  }
  const std::size_t length = response.body.size();
  if (!head) {
    message.body() = std::move(response.body);
  }
  message.content_length(length);
  return message;
}

// What to answer to a request that could not be read; nothing when the peer is gone or too slow.
std::optional<HttpResponse> refusal(const beast::error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return plain(431, "header too large\n");
  }
  if (error == http::error::body_limit) {
    return plain(413, "body too large\n");
  }
  const bool malformed =
      error.category() == http::make_error_code(http::error::bad_method).category();
  if (!malformed || error == http::error::end_of_stream || error == http::error::partial_message) {
    return std::nullopt;
  }
  return plain(400, "bad request\n");
}

HttpRequest make_request(Parser& parser, std::string who) {
  auto& message = parser.get();
  const bool head = message.method() == http::verb::head;
  return {.method = head ? "GET" : std::string(message.method_string()),
          .target = std::string(message.target()),
          .body = std::move(message.body()),
          .who = std::move(who),
          .accept = std::string(message[http::field::accept]),
          .last_event_id = std::string(message["Last-Event-ID"])};
}

// Without a length: the connection's end is the stream's.
std::string stream_head(const HttpResponse& response) {
  return "HTTP/1.1 200 OK\r\nServer: holdfast\r\nContent-Type: " + response.content_type +
         "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
}

}  // namespace

struct HttpServer::State {
  using Ptr = std::shared_ptr<State>;

  State(asio::any_io_executor executor, HttpHandler answer, HttpLimits bounds)
      : handler(std::move(answer)), limits(bounds), acceptor(executor), pause(executor) {}

  // Coroutines, by shared pointer: they may end after the server does.
  static asio::awaitable<void> accept(Ptr self);
  static asio::awaitable<void> converse(Ptr self, std::list<Stream>::iterator stream);
  // One request and its response; false when the connection ends with it.
  static asio::awaitable<bool> exchange(Ptr self,
                                        Stream& stream,
                                        beast::flat_buffer& buffer,
                                        std::string who);
  static asio::awaitable<HttpResponse> ask(Ptr self, HttpRequest request);
  static asio::awaitable<bool> send(Ptr self, Stream& stream, Message message);
  static asio::awaitable<void> send_stream(Ptr self, Stream& stream, HttpResponse response);
  static asio::awaitable<bool> send_piece(Ptr self, Stream& stream, std::string piece);
  void admit(const Ptr& self, Protocol::socket socket);

  HttpHandler handler;
  HttpLimits limits;
  Acceptor acceptor;
  asio::steady_timer pause;
  std::list<Stream> streams;
  std::size_t endless = 0;  // of these, how many are sent pieces
  bool stopped = false;
};

void HttpServer::State::admit(const Ptr& self, Protocol::socket socket) {
  if (streams.size() >= limits.connections) {
    beast::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.send(asio::buffer(kBusy), 0, ignored);
    return;
  }
  streams.emplace_back(std::move(socket));
  asio::co_spawn(acceptor.get_executor(), converse(self, std::prev(streams.end())), asio::detached);
}

asio::awaitable<void> HttpServer::State::accept(Ptr self) {
  while (!self->stopped) {
    beast::error_code error;
    Protocol::socket socket =
        co_await self->acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (self->stopped) {
      break;
    }
    if (!error) {
      self->admit(self, std::move(socket));
      continue;
    }
    self->pause.expires_after(kAcceptPause);
    co_await self->pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

asio::awaitable<void> HttpServer::State::converse(Ptr self, std::list<Stream>::iterator stream) {
  const std::string who = peer_name(stream->socket().native_handle());
  beast::flat_buffer buffer(self->limits.header_bytes + kReadAhead);
  bool more = true;
  while (more && !self->stopped) {
    more = co_await exchange(self, *stream, buffer, who);
  }
  self->streams.erase(stream);
}

asio::awaitable<bool> HttpServer::State::exchange(Ptr self,
                                                  Stream& stream,
                                                  beast::flat_buffer& buffer,
                                                  std::string who) {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(self->limits.header_bytes));
  parser.body_limit(self->limits.body_bytes);
  beast::error_code error;
  stream.expires_after(self->limits.request);
  co_await http::async_read(
      stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
  stream.expires_never();
  if (self->stopped) {
    co_return false;
  }
  if (error) {
    if (std::optional<HttpResponse> response = refusal(error)) {
      Message message = make_message(std::move(*response), 11, false);
      message.keep_alive(false);
      co_await send(self, stream, std::move(message));
    }
    co_return false;
  }
  const unsigned version = parser.get().version();
  const bool keep_alive = parser.keep_alive();
  const bool head = parser.get().method() == http::verb::head;
  HttpRequest request = make_request(parser, std::move(who));
  HttpResponse response = co_await ask(self, std::move(request));
  if (self->stopped) {
    co_return false;
  }
  if (response.stream && !head && self->endless < self->limits.streams) {
    co_await send_stream(self, stream, std::move(response));
    co_return false;
  }
  if (response.stream && !head) {
    response = plain(503, "too many streams\n");
  }
  Message message = make_message(std::move(response), version, head);
  message.keep_alive(keep_alive);
  const bool sent = co_await send(self, stream, std::move(message));
  co_return sent&& keep_alive;
}

asio::awaitable<HttpResponse> HttpServer::State::ask(Ptr self, HttpRequest request) {
  try {
    co_return co_await self->handler(std::move(request));
  } catch (const std::exception&) {
    co_return plain(500, "internal error\n");
  }
}

// A peer that does not take a piece in time is cut off; one that has gone shows with the next.
asio::awaitable<void> HttpServer::State::send_stream(Ptr self,
                                                     Stream& stream,
                                                     HttpResponse response) {
  ++self->endless;
  std::string head = stream_head(response);
  bool more = co_await send_piece(self, stream, std::move(head));
  while (more && !self->stopped) {
    std::optional<std::string> piece;
    try {
      piece = co_await response.stream();
    } catch (const std::exception&) {
      piece.reset();
    }
    if (!piece || self->stopped) {
      break;
    }
    more = co_await send_piece(self, stream, std::move(*piece));
  }
  --self->endless;
}

asio::awaitable<bool> HttpServer::State::send_piece(Ptr self, Stream& stream, std::string piece) {
  beast::error_code error;
  stream.expires_after(self->limits.response);
  co_await asio::async_write(
      stream, asio::buffer(piece), asio::redirect_error(asio::use_awaitable, error));
  stream.expires_never();
  co_return !error;
}

asio::awaitable<bool> HttpServer::State::send(Ptr self, Stream& stream, Message message) {
  beast::error_code error;
  stream.expires_after(self->limits.response);
  co_await http::async_write(stream, message, asio::redirect_error(asio::use_awaitable, error));
  if (error || message.keep_alive()) {
    co_return !error;
  }
  // Closing over unread bytes would reset the connection and could take the response with it: let
  // the peer see its end first, and throw away what it had under way, up to a bound.
  stream.socket().shutdown(Protocol::socket::shutdown_send, error);
  std::array<char, 4096> rest;
  for (std::size_t left = kDiscardBytes; !error && left > 0;) {
    const std::size_t got = co_await stream.async_read_some(
        asio::buffer(rest), asio::redirect_error(asio::use_awaitable, error));
    left -= std::min(left, got);
  }
  co_return false;
}

HttpServer::HttpServer(asio::any_io_executor executor, HttpHandler handler, HttpLimits limits)
    : state_(std::make_shared<State>(std::move(executor), std::move(handler), limits)) {}

HttpServer::~HttpServer() { stop(); }

void HttpServer::serve(int listening_descriptor, int family) {
  const int copy = ::fcntl(listening_descriptor, F_DUPFD_CLOEXEC, 0);
  state_->acceptor.assign(Protocol(family, 0), copy);
  asio::co_spawn(state_->acceptor.get_executor(), State::accept(state_), asio::detached);
}

void HttpServer::stop() {
  state_->stopped = true;
  beast::error_code ignored;
  state_->acceptor.close(ignored);
  state_->pause.cancel();
  for (Stream& stream : state_->streams) {
    stream.close();
  }
}

std::size_t HttpServer::connections() const { return state_->streams.size(); }

}  // namespace holdfast::control
