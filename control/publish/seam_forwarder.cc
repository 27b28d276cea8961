// SPDX-License-Identifier: Apache-2.0
// See seam_forwarder.h.
#include "control/publish/seam_forwarder.h"

#include "dataplane/api/codec.h"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace holdfast::control {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// A dataplane that answers nothing is given up before its requests fill the memory.
constexpr std::size_t kMaxOutboxBytes = 32U << 20U;

constexpr const char* kClosedByPeer = "closed by the dataplane";

auto with(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

std::expected<RunningState, std::string> read_running(const seam::GetGenerationReply& reply) {
  RunningState state;
  auto generation = seam::from_wire(reply.generation());
  if (!generation) {
    return std::unexpected("the dataplane's generation: " + generation.error());
  }
  state.generation = std::move(*generation);
  state.role = seam::role_from_wire(reply.role()).value_or(dataplane::Role::kAlone);
  for (const seam::MemberEntry& entry : reply.members()) {
    const auto address = seam::address_from_wire(entry.ref().address());
    const auto disposition = seam::disposition_from_wire(entry.disposition());
    if (!address || !disposition) {
      return std::unexpected(address ? disposition.error() : address.error());
    }
    state.members.push_back({.service = entry.ref().service(),
                             .backend = entry.ref().backend(),
                             .address = *address,
                             .port = static_cast<std::uint16_t>(entry.ref().port()),
                             .disposition = *disposition,
                             .retired = entry.retired(),
                             .reset_in = std::chrono::milliseconds(entry.reset_in_ms())});
  }
  return state;
}

// "2 s", "300 ms"
std::string text_of(std::chrono::milliseconds time) {
  return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + " s"
                                  : std::to_string(time.count()) + " ms";
}

}  // namespace

// A request that waits for its answer.
struct SeamForwarder::Pending {
  Pending(const asio::any_io_executor& executor, std::chrono::milliseconds time)
      : limit(time), answered(executor) {}
  std::chrono::milliseconds limit;
  Condition answered;
  std::optional<AnyReply> reply;

  void answer(AnyReply value) {
    reply = std::move(value);
    answered.notify();
  }
};

SeamForwarder::SeamForwarder(asio::io_context& context, Settings settings)
    : context_(context),
      settings_(std::move(settings)),
      tasks_(context.get_executor()),
      socket_(context),
      retry_(context),
      deadline_(context) {}

SeamForwarder::~SeamForwarder() = default;

void SeamForwarder::start(Observer& observer) {
  observer_ = &observer;
  tasks_.spawn(run());
}

asio::awaitable<void> SeamForwarder::stop() {
  stopping_ = true;
  retry_.cancel();
  close("control is stopping");
  co_await tasks_.join();
}

asio::awaitable<void> SeamForwarder::run() {
  std::chrono::milliseconds wait = settings_.retry_first;
  std::string last_reason;
  while (!stopping_) {
    std::string reason = co_await session();
    const bool had_session = std::exchange(connected_, false);
    close(reason);
    for (auto& [id, pending] : std::exchange(pending_, {})) {
      pending->answer(std::unexpected(Failure{"the dataplane's connection ended: " + reason}));
    }
    watch_oldest();
    // The same reason again and again is said once.
    if (!stopping_ && (had_session || reason != last_reason)) {
      observer_->on_disconnect(reason);
    }
    last_reason = std::move(reason);
    wait = had_session ? settings_.retry_first : std::min(2 * wait, settings_.retry_most);
    if (!stopping_) {
      co_await pause(wait);
    }
  }
}

asio::awaitable<void> SeamForwarder::pause(std::chrono::milliseconds time) {
  error_code ignored;
  retry_.expires_after(time);
  co_await retry_.async_wait(with(ignored));
}

// Returns why the session ended.
asio::awaitable<std::string> SeamForwarder::session() {
  error_code error;
  while (writing_) {  // a write of the session before, on its way out
    co_await pause(std::chrono::milliseconds(1));
  }
  end_reason_.clear();
  socket_ = Socket(context_);
  decoder_ = seam::FrameDecoder();
  if (settings_.socket.size() > 107) {
    co_return "socket path is too long: " + settings_.socket;
  }
  co_await socket_.async_connect(asio::local::stream_protocol::endpoint(settings_.socket),
                                 with(error));
  if (error) {
    co_return settings_.socket + ": " + error.message();
  }
  std::string refused = co_await greet();
  if (!refused.empty() || stopping_) {
    co_return refused;
  }
  connected_ = true;
  observer_->on_connect();
  co_return co_await read_loop();
}

// Returns why the dataplane cannot be used; empty when it can.
asio::awaitable<std::string> SeamForwarder::greet() {
  seam::Request request;
  request.set_id(++last_id_);
  request.mutable_hello()->set_version_min(seam::kVersionMin);
  request.mutable_hello()->set_version_max(seam::kVersionMax);
  request.mutable_hello()->set_build(settings_.build);
  const std::uint64_t epoch = co_await settings_.next_epoch();
  request.mutable_hello()->set_writer_epoch(epoch);
  auto pending = std::make_shared<Pending>(context_.get_executor(), settings_.call_limit);
  pending_.emplace(request.id(), pending);
  watch_oldest();
  std::string ended = end_reason_;
  if (send(request)) {
    ended = co_await read_loop();  // until the answer is there, this is the only reader
  }
  pending_.erase(request.id());
  const std::optional<AnyReply>& reply = pending->reply;
  if (!reply) {
    co_return "no answer to the hello: " + ended;
  }
  if (!reply->has_value()) {
    co_return reply->error().text;
  }
  if (!reply->value().has_hello()) {
    co_return "the dataplane answered something else than a hello";
  }
  hello_ = reply->value().hello();
  if (!seam::has_deadlines(hello_.version())) {
    hello_.add_notices("the dataplane is older than control: it ends no drain by itself");
  }
  const auto version = seam::choose_version(hello_.version(), hello_.version());
  co_return version ? "" : version.error();
}

// Reads until the hello is there (when it is awaited) or the connection ends; says why it ended.
asio::awaitable<std::string> SeamForwarder::read_loop() {
  std::vector<char> piece(65536);
  while (true) {
    error_code error;
    const std::size_t size = co_await socket_.async_read_some(asio::buffer(piece), with(error));
    if (!end_reason_.empty()) {
      co_return end_reason_;
    }
    if (error) {
      co_return error == asio::error::eof ? kClosedByPeer : error.message();
    }
    decoder_.feed({piece.data(), size});
    if (auto sound = dispatch(); !sound) {
      co_return sound.error();
    }
    if (!connected_ && pending_.empty()) {
      co_return "";
    }
  }
}

std::expected<void, std::string> SeamForwarder::dispatch() {
  while (true) {
    const auto message = decoder_.next();
    if (!message) {
      return std::unexpected(message.error());
    }
    const std::optional<std::string>& body = *message;
    if (!body) {
      return {};
    }
    seam::Reply reply;
    if (!reply.ParseFromString(*body)) {
      return std::unexpected("the dataplane sent no valid message");
    }
    deliver(std::move(reply));
  }
}

void SeamForwarder::deliver(seam::Reply reply) {
  if (reply.has_event()) {
    if (connected_) {
      observer_->on_event(reply.event());
    }
    return;
  }
  auto node = pending_.extract(reply.id());
  if (node.empty()) {
    return;  // nothing that we asked
  }
  if (reply.has_error()) {
    node.mapped()->answer(std::unexpected(Failure{reply.error().text(), true}));
  } else {
    node.mapped()->answer(std::move(reply));
  }
  watch_oldest();
}

bool SeamForwarder::send(const seam::Request& request) {
  auto bytes = seam::frame(request);
  if (!bytes) {
    close(bytes.error());
    return false;
  }
  if (outbox_bytes_ + bytes->size() > kMaxOutboxBytes) {
    close("the dataplane takes no requests");
    return false;
  }
  outbox_bytes_ += bytes->size();
  outbox_.push_back(std::move(*bytes));
  if (!writing_) {
    writing_ = true;
    tasks_.spawn(write_loop());
  }
  return true;
}

asio::awaitable<void> SeamForwarder::write_loop() {
  while (!outbox_.empty()) {
    error_code error;
    // Moved out, because close() empties the outbox under the write.
    const std::string bytes = std::move(outbox_.front());
    outbox_.pop_front();
    outbox_bytes_ -= bytes.size();
    co_await asio::async_write(socket_, asio::buffer(bytes), with(error));
    if (error) {
      close(error == asio::error::broken_pipe ? kClosedByPeer : error.message());
    }
  }
  writing_ = false;
}

void SeamForwarder::watch_oldest() {
  const std::uint64_t id = pending_.empty() ? 0 : pending_.begin()->first;
  if (std::exchange(watched_, id) == id) {
    return;
  }
  deadline_.cancel();
  if (id == 0) {
    return;
  }
  const std::chrono::milliseconds limit = pending_.begin()->second->limit;
  deadline_.expires_after(limit);
  deadline_.async_wait([this, id, limit](const error_code& cancelled) {
    if (!cancelled && watched_ == id) {
      close("the dataplane did not answer within " + text_of(limit));
    }
  });
}

void SeamForwarder::close(std::string_view reason) {
  if (end_reason_.empty()) {
    end_reason_ = reason;
  }
  error_code ignored;
  socket_.close(ignored);
  outbox_.clear();
  outbox_bytes_ = 0;
}

asio::awaitable<std::vector<SeamForwarder::AnyReply>> SeamForwarder::call_all(
    std::vector<seam::Request> requests, std::chrono::milliseconds limit) {
  std::vector<std::shared_ptr<Pending>> batch;
  for (seam::Request& request : requests) {
    auto& pending = batch.emplace_back(std::make_shared<Pending>(context_.get_executor(), limit));
    request.set_id(++last_id_);
    if (!connected_ || !send(request)) {
      pending->answer(std::unexpected(Failure{"the dataplane is not connected"}));
      continue;
    }
    pending_.emplace(request.id(), pending);
  }
  watch_oldest();
  std::vector<AnyReply> replies;
  for (const auto& pending : batch) {
    std::optional<AnyReply>& reply = pending->reply;
    while (!reply) {
      co_await pending->answered.wait();
    }
    replies.push_back(*std::move(reply));
  }
  co_return replies;
}

asio::awaitable<SeamForwarder::AnyReply> SeamForwarder::call(seam::Request request,
                                                             std::chrono::milliseconds limit) {
  std::vector<seam::Request> requests;
  requests.push_back(std::move(request));
  std::vector<AnyReply> replies = co_await call_all(std::move(requests), limit);
  co_return std::move(replies.front());
}

Forwarder::Answer<seam::PublishReply> SeamForwarder::publish(dataplane::GenerationSpec generation) {
  if (connected_) {
    if (auto fits = seam::fits_version(generation, hello_.version()); !fits) {
      co_return std::unexpected(std::move(fits.error()));
    }
    for (dataplane::ServiceSpec& service : generation.services) {
      for (dataplane::MemberSpec& member : service.members) {
        member.disposition = seam::known_disposition(member.disposition, hello_.version());
      }
    }
  }
  seam::Request request;
  *request.mutable_publish()->mutable_generation() = seam::to_wire(generation);
  AnyReply reply = co_await call(std::move(request), settings_.publish_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error().text));
  }
  co_return reply->publish();
}

Forwarder::Answer<std::vector<std::string>> SeamForwarder::set_dispositions(
    std::vector<DispositionChange> changes) {
  std::vector<seam::Request> requests;
  for (const DispositionChange& change : changes) {
    seam::SetDisposition& set = *requests.emplace_back().mutable_set_disposition();
    set.set_service(change.service);
    set.set_backend(change.backend);
    const auto known = seam::known_disposition(change.disposition, hello_.version());
    set.set_disposition(static_cast<std::uint32_t>(std::to_underlying(known)));
    if (seam::has_deadlines(hello_.version())) {  // else control ends the drain, while it runs
      set.set_reset_in_ms(static_cast<std::uint64_t>(change.reset_in.count()));
    }
  }
  const std::vector<AnyReply> replies =
      co_await call_all(std::move(requests), settings_.call_limit);
  std::vector<std::string> refused;
  for (const AnyReply& reply : replies) {
    if (reply) {
      continue;
    }
    if (!reply.error().refused) {
      co_return std::unexpected(reply.error().text);
    }
    refused.push_back(reply.error().text);
  }
  co_return refused;
}

Forwarder::Answer<std::uint32_t> SeamForwarder::set_routes(std::vector<dataplane::VipPrefix> vips) {
  if (connected_ && !seam::has_routes(hello_.version())) {
    co_return std::unexpected("the dataplane is older than control and makes no routes");
  }
  seam::Request request;
  *request.mutable_set_routes() = seam::to_wire(std::span<const dataplane::VipPrefix>(vips));
  AnyReply reply = co_await call(std::move(request), settings_.call_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error().text));
  }
  co_return reply->set_routes().routes();
}

Forwarder::Answer<dataplane::Role> SeamForwarder::set_role(dataplane::Role role) {
  if (connected_ && !seam::has_routes(hello_.version())) {
    co_return std::unexpected("the dataplane is older than control and is always active");
  }
  seam::Request request;
  request.mutable_set_role()->set_role(static_cast<std::uint32_t>(std::to_underlying(role)));
  AnyReply reply = co_await call(std::move(request), settings_.call_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error().text));
  }
  co_return role;
}

Forwarder::Answer<std::uint64_t> SeamForwarder::begin_walk(seam::Request request) {
  if (connected_ && !seam::has_flow_walks(hello_.version())) {
    co_return std::unexpected("the dataplane is older than control and tells nothing of its flows");
  }
  AnyReply reply = co_await call(std::move(request), settings_.call_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error().text));
  }
  co_return reply->flow_walk().number();
}

Forwarder::Answer<seam::CollectFlowsReply> SeamForwarder::collect_walk(seam::CollectFlows collect) {
  seam::Request request;
  *request.mutable_collect_flows() = std::move(collect);
  AnyReply reply = co_await call(std::move(request), settings_.call_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error().text));
  }
  co_return std::move(*reply->mutable_collect_flows());
}

Forwarder::Answer<RunningState> SeamForwarder::running() {
  seam::Request request;
  request.mutable_get_generation();
  AnyReply reply = co_await call(std::move(request), settings_.call_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error().text));
  }
  co_return read_running(reply->get_generation());
}

Forwarder::Answer<seam::GetCountersReply> SeamForwarder::counters() {
  seam::Request request;
  request.mutable_get_counters()->set_members(true);
  AnyReply reply = co_await call(std::move(request), settings_.call_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error().text));
  }
  co_return std::move(*reply->mutable_get_counters());
}

}  // namespace holdfast::control
