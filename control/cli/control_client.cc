// SPDX-License-Identifier: Apache-2.0
// See control_client.h.
#include "control/cli/control_client.h"

#include "control/cli/program.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <optional>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace json = boost::json;
using boost::system::error_code;
using Local = asio::local::stream_protocol;
using Stream = beast::basic_stream<Local>;
using Request = http::request<http::string_body>;

constexpr std::uint64_t kLargestAnswer = std::uint64_t{256} << 20U;

constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr std::size_t kLargestHead = 16 * 1024;

constexpr std::size_t kShownBytes = 200;  // of an answer that is not control's

struct Outgoing {
  std::string socket;
  Request request;
  std::chrono::milliseconds limit;
};

struct Incoming {
  error_code error;
  std::string body;
};

Request make_request(http::verb method, const std::string& target, const std::string& body) {
  Request request(method, target, 11);
  request.set(http::field::host, "holdfast");
  request.set(http::field::connection, "close");
  request.body() = body;
  request.prepare_payload();
  return request;
}

asio::awaitable<Incoming> exchange(asio::any_io_executor executor, Outgoing out) {
  Incoming in;
  Stream stream(std::move(executor));
  stream.expires_after(out.limit);
  // Not async_connect: a Unix socket connects at once or not at all, and says EAGAIN when the
  // backlog is full.
  stream.socket().connect(Local::endpoint(out.socket), in.error);
  if (in.error) {
    co_return in;
  }
  error_code unsent;
  co_await http::async_write(
      stream, out.request, asio::redirect_error(asio::use_awaitable, unsent));
  // Who has too many connections answers, and closes, before it has read anything: an answer tells
  // more than the failed write.
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kLargestAnswer);
  co_await http::async_read(
      stream, buffer, parser, asio::redirect_error(asio::use_awaitable, in.error));
  in.error = in.error && unsent ? unsent : in.error;
  in.body = std::move(parser.get().body());
  co_return in;
}

// What a stream is asked for with, and who takes it.
struct Followed {
  std::string socket;
  std::string request;
  std::function<bool(std::string_view)> take;
  std::chrono::milliseconds limit;
};

// Returns how it ended; no error when the taker has had enough.
asio::awaitable<error_code> follow_stream(asio::any_io_executor executor, Followed what) {
  error_code error;
  Stream stream(std::move(executor));
  stream.socket().connect(Local::endpoint(what.socket), error);
  if (error) {
    co_return error;
  }
  stream.expires_after(what.limit);
  co_await asio::async_write(
      stream, asio::buffer(what.request), asio::redirect_error(asio::use_awaitable, error));
  std::string head;
  std::array<char, 4096> piece;
  bool more = !error;
  while (more) {
    stream.expires_after(what.limit);
    const std::size_t got = co_await stream.async_read_some(
        asio::buffer(piece), asio::redirect_error(asio::use_awaitable, error));
    const std::string_view came(piece.data(), got);
    if (head.ends_with(kHeadEnd)) {
      more = !error && what.take(came);
      continue;
    }
    head += came;
    const std::size_t end = head.find(kHeadEnd);
    more = !error && head.size() < kLargestHead;
    if (end != std::string::npos) {
      const std::string rest = head.substr(end + kHeadEnd.size());
      head.resize(end + kHeadEnd.size());
      more = !error && (rest.empty() || what.take(rest));
    }
  }
  co_return error;
}

ClientFailure failure(const Outgoing& out, const error_code& error) {
  if (error == beast::error::timeout) {
    return {kExitTimedOut,
            "control took the request on " + out.socket + " but did not answer within " +
                std::to_string(out.limit.count()) + " ms"};
  }
  if (error.value() == EACCES) {
    return {kExitUnreachable,
            "no permission for " + out.socket + ": be root or a member of its group"};
  }
  return {kExitUnreachable,
          "control does not answer on " + out.socket + " (" + error.message() +
              "): start it, or name its socket with --socket or --config"};
}

std::expected<std::string, ClientFailure> run(const Outgoing& out) {
  if (out.limit <= std::chrono::milliseconds(0)) {
    return std::unexpected(ClientFailure{
        kExitTimedOut, "the time was over before control could be asked on " + out.socket});
  }
  if (out.socket.empty() || out.socket.size() > 107) {
    return std::unexpected(
        ClientFailure{kExitUnreachable, "a socket's path has 1 to 107 bytes: " + out.socket});
  }
  asio::io_context context(1);
  std::optional<Incoming> result;
  asio::co_spawn(context,
                 exchange(context.get_executor(), out),
                 [&result](const std::exception_ptr& thrown, Incoming in) {
                   if (!thrown) {
                     result = std::move(in);
                   }
                 });
  context.run();
  if (!result) {
    return std::unexpected(ClientFailure{kExitUnreachable, "control's answer cannot be read"});
  }
  if (result->error) {
    return std::unexpected(failure(out, result->error));
  }
  return std::move(result->body);
}

std::expected<json::object, ClientFailure> answer(const Outgoing& out) {
  const auto body = run(out);
  if (!body) {
    return std::unexpected(body.error());
  }
  error_code error;
  json::value parsed = json::parse(*body, error);
  if (error || !parsed.is_object()) {
    const std::string said = body->substr(0, std::min(body->find('\n'), kShownBytes));
    return std::unexpected(
        ClientFailure{kExitUnreachable, "what answers on " + out.socket + " says: " + said});
  }
  return std::move(parsed.as_object());
}

}  // namespace

std::chrono::milliseconds ControlClient::left(std::chrono::milliseconds limit) const {
  using std::chrono::milliseconds;
  const auto spent =
      std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start_);
  return in_all_ ? std::min(limit, *in_all_ - spent) : limit;
}

ClientFailure ControlClient::follow(const std::string& target,
                                    const std::string& more,
                                    const std::function<bool(std::string_view)>& take,
                                    std::chrono::milliseconds limit) const {
  asio::io_context context(1);
  Followed followed{.socket = socket_,
                    .request = "GET " + target + " HTTP/1.1\r\nHost: holdfast\r\n" + more + "\r\n",
                    .take = take,
                    .limit = limit};
  error_code end;
  asio::co_spawn(context,
                 follow_stream(context.get_executor(), std::move(followed)),
                 [&end](const std::exception_ptr&, error_code error) { end = error; });
  context.run();
  return end ? failure({.socket = socket_, .request = {}, .limit = limit}, end)
             : ClientFailure{kExitOk, ""};
}

std::expected<json::object, ClientFailure> ControlClient::get(
    const std::string& target, std::chrono::milliseconds limit) const {
  return answer({socket_, make_request(http::verb::get, target, ""), left(limit)});
}

std::expected<json::object, ClientFailure> ControlClient::post(
    const std::string& target, const json::object& body, std::chrono::milliseconds limit) const {
  return answer(
      {socket_, make_request(http::verb::post, target, json::serialize(body)), left(limit)});
}

}  // namespace holdfast::control
