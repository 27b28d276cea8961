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

auto with(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

std::expected<RunningState, std::string> read_running(const seam::GetGenerationReply& reply) {
  RunningState state;
  auto generation = seam::from_wire(reply.generation());
  if (!generation) {
    return std::unexpected("the dataplane's generation: " + generation.error());
  }
  state.generation = std::move(*generation);
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
                             .retired = entry.retired()});
  }
  return state;
}

}  // namespace

// A request that waits for its answer.
struct SeamForwarder::Pending {
  explicit Pending(const asio::any_io_executor& executor) : answered(executor) {}
  asio::steady_timer answered;
  std::optional<AnyReply> reply;

  void answer(AnyReply value) {
    reply = std::move(value);
    answered.cancel();
  }
};

SeamForwarder::SeamForwarder(asio::io_context& context, Settings settings)
    : context_(context),
      settings_(std::move(settings)),
      tasks_(context.get_executor()),
      socket_(context),
      retry_(context) {}

SeamForwarder::~SeamForwarder() = default;

void SeamForwarder::start(Observer& observer) {
  observer_ = &observer;
  tasks_.spawn(run());
}

asio::awaitable<void> SeamForwarder::stop() {
  stopping_ = true;
  retry_.cancel();
  close();
  co_await tasks_.join();
}

asio::awaitable<void> SeamForwarder::run() {
  std::chrono::milliseconds wait = settings_.retry_first;
  std::string last_reason;
  while (!stopping_) {
    std::string reason = co_await session();
    const bool had_session = std::exchange(connected_, false);
    close();
    for (auto& [id, pending] : std::exchange(pending_, {})) {
      pending->answer(std::unexpected("the dataplane's connection ended: " + reason));
    }
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
  ++sessions_;
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
  auto pending = std::make_shared<Pending>(context_.get_executor());
  pending_.emplace(request.id(), pending);
  // Until the answer is there this is the only reader; the deadline closes the socket under it.
  pending->answered.expires_after(settings_.call_limit);
  pending->answered.async_wait([this, pending](const error_code& cancelled) {
    if (!cancelled && !pending->reply) {
      close();
    }
  });
  std::string ended;
  if (send(request)) {
    ended = co_await read_loop();
  }
  pending->answered.cancel();
  pending_.erase(request.id());
  if (!pending->reply) {
    co_return "no answer to the hello: " + ended;
  }
  if (!pending->reply->has_value()) {
    co_return pending->reply->error();
  }
  if (!(*pending->reply)->has_hello()) {
    co_return "the dataplane answered something else than a hello";
  }
  hello_ = (*pending->reply)->hello();
  const auto version = seam::choose_version(hello_.version(), hello_.version());
  co_return version ? "" : version.error();
}

// Reads until the hello is there (when it is awaited) or the connection ends; says why it ended.
asio::awaitable<std::string> SeamForwarder::read_loop() {
  std::vector<char> piece(65536);
  while (true) {
    error_code error;
    const std::size_t size = co_await socket_.async_read_some(asio::buffer(piece), with(error));
    if (error) {
      co_return error == asio::error::eof ? "closed by the dataplane" : error.message();
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
    if (!message->has_value()) {
      return {};
    }
    seam::Reply reply;
    if (!reply.ParseFromString(**message)) {
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
    return;  // answered after its deadline
  }
  if (reply.has_error()) {
    node.mapped()->answer(std::unexpected(reply.error().text()));
  } else {
    node.mapped()->answer(std::move(reply));
  }
}

bool SeamForwarder::send(const seam::Request& request) {
  auto bytes = seam::frame(request);
  if (!bytes || outbox_bytes_ + bytes->size() > kMaxOutboxBytes) {
    close();
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
      close();
    }
  }
  writing_ = false;
}

void SeamForwarder::close() {
  error_code ignored;
  socket_.close(ignored);
  outbox_.clear();
  outbox_bytes_ = 0;
}

asio::awaitable<SeamForwarder::Batch> SeamForwarder::call_all(std::vector<seam::Request> requests,
                                                              std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  Batch batch;
  for (seam::Request& request : requests) {
    auto& pending = batch.emplace_back(std::make_shared<Pending>(context_.get_executor()));
    pending->answered.expires_at(deadline);
    request.set_id(++last_id_);
    if (!connected_ || !send(request)) {
      pending->answer(std::unexpected("the dataplane is not connected"));
      continue;
    }
    pending_.emplace(request.id(), pending);
  }
  for (const auto& pending : batch) {
    error_code ignored;
    if (!pending->reply) {
      co_await pending->answered.async_wait(with(ignored));
    }
    if (!pending->reply) {
      pending->answer(std::unexpected("the dataplane did not answer in time"));
      close();
    }
  }
  co_return batch;
}

asio::awaitable<SeamForwarder::AnyReply> SeamForwarder::call(seam::Request request,
                                                             std::chrono::milliseconds limit) {
  std::vector<seam::Request> requests;
  requests.push_back(std::move(request));
  const Batch batch = co_await call_all(std::move(requests), limit);
  co_return std::move(*batch.front()->reply);
}

Forwarder::Answer<seam::PublishReply> SeamForwarder::publish(dataplane::GenerationSpec generation) {
  seam::Request request;
  *request.mutable_publish()->mutable_generation() = seam::to_wire(generation);
  AnyReply reply = co_await call(std::move(request), settings_.publish_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error()));
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
    set.set_disposition(static_cast<std::uint32_t>(std::to_underlying(change.disposition)));
  }
  const std::uint64_t session = sessions_;
  const Batch batch = co_await call_all(std::move(requests), settings_.call_limit);
  if (session != sessions_ || !socket_.is_open()) {
    co_return std::unexpected("the dataplane's connection ended");
  }
  std::vector<std::string> refused;
  for (const auto& pending : batch) {
    if (!pending->reply->has_value()) {
      refused.push_back(pending->reply->error());
    }
  }
  co_return refused;
}

Forwarder::Answer<RunningState> SeamForwarder::running() {
  seam::Request request;
  request.mutable_get_generation();
  AnyReply reply = co_await call(std::move(request), settings_.call_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error()));
  }
  co_return read_running(reply->get_generation());
}

Forwarder::Answer<seam::GetCountersReply> SeamForwarder::counters() {
  seam::Request request;
  request.mutable_get_counters()->set_members(true);
  AnyReply reply = co_await call(std::move(request), settings_.call_limit);
  if (!reply) {
    co_return std::unexpected(std::move(reply.error()));
  }
  co_return std::move(*reply->mutable_get_counters());
}

}  // namespace holdfast::control
