// SPDX-License-Identifier: Apache-2.0
// See asio_prober.h. An attempt belongs to the prober and outlives its coroutine, which therefore
// may hold a pointer to it: it is erased by the handler that runs after the coroutine ended.
#include "control/probe/asio_prober.h"

#include "control/probe/http_answer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace holdfast::control {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

struct ProbeAttempt {
  explicit ProbeAttempt(asio::io_context& context) : socket(context) {}
  tcp::socket socket;
  Prober::Done done;
  Clock::TimePoint planned;
  Clock::TimePoint started;
  std::chrono::nanoseconds timeout{0};
  Clock::Ticket deadline;
  bool timed_out = false;
  bool cancelled = false;
};

namespace {

struct Verdict {
  Layer layer = Layer::kL4;
  Reason reason = Reason::kOk;
  int detail = 0;
};

// Errors that say something about this host and nothing about the target.
bool is_local(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case EACCES:
    case EPERM:
    case EAFNOSUPPORT:
    case ENETUNREACH:  // no route: the packet never left
    case ENETDOWN:
    case EBADF:
    case EINVAL:
      return true;
    default:
      return false;
  }
}

Reason reason_of(int error, bool connecting) {
  switch (error) {
    case ECONNREFUSED:
      return Reason::kRefused;
    case ECONNRESET:
    case EPIPE:
      return connecting ? Reason::kRefused : Reason::kReset;
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return Reason::kUnreachable;
    case ETIMEDOUT:
      return Reason::kTimeout;
    default:
      return Reason::kClosed;
  }
}

Verdict failed(const ProbeAttempt& attempt, Layer layer, const error_code& error) {
  if (attempt.timed_out) {
    return {.layer = layer, .reason = Reason::kTimeout};
  }
  if (error == asio::error::eof) {
    return {.layer = layer, .reason = Reason::kClosed};
  }
  const ProbeResult result = result_of_error(layer, error.value());
  return {.layer = result.layer, .reason = result.reason, .detail = result.detail};
}

tcp::endpoint endpoint_of(const CheckSpec& check) {
  if (check.address.v6) {
    return {asio::ip::address_v6(check.address.bytes), check.port};
  }
  asio::ip::address_v4::bytes_type bytes;
  std::copy_n(check.address.bytes.begin(), bytes.size(), bytes.begin());
  return {asio::ip::address_v4(bytes), check.port};
}

asio::awaitable<Verdict> connect(ProbeAttempt* attempt, tcp::endpoint endpoint) {
  error_code error;
  attempt->socket.open(endpoint.protocol(), error);
  if (!error) {
    attempt->socket.set_option(asio::socket_base::linger(true, 0), error);
  }
  if (!error) {
    co_await attempt->socket.async_connect(endpoint,
                                           asio::redirect_error(asio::use_awaitable, error));
  }
  if (error || attempt->timed_out) {
    co_return failed(*attempt, Layer::kL4, error);
  }
  // A closed port inside the ephemeral range can connect to itself.
  if (attempt->socket.local_endpoint(error) == attempt->socket.remote_endpoint(error) && !error) {
    co_return Verdict{.layer = Layer::kL4, .reason = Reason::kRefused};
  }
  co_return Verdict{};
}

asio::awaitable<Verdict> ask_http(ProbeAttempt* attempt, CheckSpec check) {
  error_code error;
  const std::string request = build_http_request(check);
  co_await asio::async_write(
      attempt->socket, asio::buffer(request), asio::redirect_error(asio::use_awaitable, error));
  HttpAnswer answer;
  std::array<char, 4096> piece;
  while (!error && !attempt->timed_out && answer.state() == HttpAnswer::State::kReading) {
    const std::size_t received = co_await attempt->socket.async_read_some(
        asio::buffer(piece), asio::redirect_error(asio::use_awaitable, error));
    answer.feed({piece.data(), received});
  }
  if (answer.state() == HttpAnswer::State::kGarbage) {
    co_return Verdict{.layer = Layer::kL7, .reason = Reason::kGarbage};
  }
  if (answer.state() == HttpAnswer::State::kReading) {
    co_return failed(*attempt, Layer::kL7, error);
  }
  const bool accepted = accepts_status(check, answer.status());
  co_return Verdict{.layer = Layer::kL7,
                    .reason = accepted ? Reason::kOk : Reason::kStatus,
                    .detail = answer.status()};
}

asio::awaitable<Verdict> run_probe(ProbeAttempt* attempt, CheckSpec check) {
  Verdict verdict = co_await connect(attempt, endpoint_of(check));
  if (verdict.reason == Reason::kOk && check.type == config::CheckType::kHttp) {
    verdict = co_await ask_http(attempt, std::move(check));
  }
  error_code ignored;
  attempt->socket.close(ignored);
  co_return verdict;
}

}  // namespace

ProbeResult result_of_error(Layer layer, int error) {
  if (is_local(error)) {
    return {.layer = Layer::kLocal, .reason = Reason::kLocal, .detail = error};
  }
  return {.layer = layer, .reason = reason_of(error, layer == Layer::kL4)};
}

AsioProber::AsioProber(asio::io_context& context, Clock& clock)
    : context_(context), clock_(clock), all_ended_(context) {}

AsioProber::~AsioProber() = default;

void AsioProber::start(std::uint64_t id, CheckSpec check, Clock::TimePoint planned, Done done) {
  auto owned = std::make_unique<ProbeAttempt>(context_);
  ProbeAttempt* attempt = owned.get();
  attempts_.emplace(id, std::move(owned));
  attempt->done = std::move(done);
  attempt->planned = planned;
  attempt->started = clock_.now();
  attempt->timeout = check.timeout;
  attempt->deadline = clock_.at(attempt->started + attempt->timeout, [attempt] {
    error_code ignored;
    attempt->timed_out = true;
    attempt->socket.close(ignored);
  });
  asio::co_spawn(
      context_,
      run_probe(attempt, std::move(check)),
      [this, id](const std::exception_ptr& failure, const Verdict& verdict) {
        if (failure) {  // out of memory: nothing is known about the target
          return finish(id, {.layer = Layer::kLocal, .reason = Reason::kLocal});
        }
        finish(id, {.layer = verdict.layer, .reason = verdict.reason, .detail = verdict.detail});
      });
}

void AsioProber::cancel(std::uint64_t id) {
  const auto found = attempts_.find(id);
  if (found != attempts_.end()) {
    error_code ignored;
    found->second->cancelled = true;
    found->second->socket.close(ignored);
  }
}

asio::awaitable<void> AsioProber::stop() {
  for (const auto& [id, attempt] : attempts_) {
    error_code ignored;
    attempt->cancelled = true;
    attempt->socket.close(ignored);
  }
  while (!attempts_.empty()) {
    error_code ignored;
    all_ended_.expires_at(Clock::TimePoint::max());
    co_await all_ended_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void AsioProber::finish(std::uint64_t id, ProbeResult result) {
  auto node = attempts_.extract(id);
  ProbeAttempt& attempt = *node.mapped();
  clock_.cancel(attempt.deadline);
  const Clock::TimePoint now = clock_.now();
  result.duration = now - attempt.started;
  result.lateness = std::max<std::chrono::nanoseconds>(
      {attempt.started - attempt.planned, result.duration - attempt.timeout, {}});
  if (attempts_.empty()) {
    all_ended_.cancel();
  }
  if (!attempt.cancelled) {
    attempt.done(result);
  }
}

}  // namespace holdfast::control
