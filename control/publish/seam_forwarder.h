// SPDX-License-Identifier: Apache-2.0
// The forwarder behind the seam's Unix socket: connects and connects again, says hello with a
// rising writer epoch, matches replies to requests by id. The dataplane answers in order, so only
// the oldest unanswered call's time runs: what waits behind a long publication is not late. A call
// that is not answered in time closes the connection: what it did is unknown, and the adoption
// after the next connect finds out. Control thread only.
#pragma once

#include "control/publish/forwarder.h"
#include "control/publish/tasks.h"
#include "dataplane/api/framing.h"

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

namespace holdfast::control {

class SeamForwarder final : public Forwarder {
 public:
  struct Settings {
    std::string socket;
    std::string build;  // of this control, for the dataplane's log
    // The number of the next connection; may wait for a disk.
    std::function<boost::asio::awaitable<std::uint64_t>()> next_epoch;
    std::chrono::milliseconds call_limit{2'000};
    std::chrono::milliseconds publish_limit{15'000};
    std::chrono::milliseconds retry_first{20};
    std::chrono::milliseconds retry_most{1'000};
  };

  SeamForwarder(boost::asio::io_context& context, Settings settings);
  SeamForwarder(const SeamForwarder&) = delete;
  SeamForwarder& operator=(const SeamForwarder&) = delete;
  // Requires: stop() has returned, or the io_context runs no more.
  ~SeamForwarder() override;

  void start(Observer& observer) override;
  boost::asio::awaitable<void> stop() override;
  [[nodiscard]] bool connected() const override { return connected_; }
  [[nodiscard]] const seam::HelloReply& hello() const override { return hello_; }
  Answer<seam::PublishReply> publish(dataplane::GenerationSpec generation) override;
  Answer<std::vector<std::string>> set_dispositions(
      std::vector<DispositionChange> changes) override;
  Answer<std::uint32_t> set_routes(std::vector<dataplane::VipPrefix> vips) override;
  Answer<dataplane::Role> set_role(dataplane::Role role) override;
  Answer<std::uint64_t> begin_walk(seam::Request request) override;
  Answer<seam::CollectFlowsReply> collect_walk(seam::CollectFlows request) override;
  Answer<RunningState> running() override;
  Answer<seam::GetCountersReply> counters() override;

 private:
  using Socket = boost::asio::local::stream_protocol::socket;
  struct Failure {
    std::string text;
    bool refused = false;  // by the dataplane; else the connection ended first
  };
  using AnyReply = std::expected<seam::Reply, Failure>;
  struct Pending;

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<std::string> session();
  boost::asio::awaitable<std::string> greet();
  boost::asio::awaitable<std::string> read_loop();
  boost::asio::awaitable<void> write_loop();
  boost::asio::awaitable<void> pause(std::chrono::milliseconds time);
  // Takes the waiting messages out of the decoder; an error ends the session.
  std::expected<void, std::string> dispatch();
  void deliver(seam::Reply reply);

  // Sends all requests in one go; each answer is there, or the connection is gone, at the end.
  boost::asio::awaitable<std::vector<AnyReply>> call_all(std::vector<seam::Request> requests,
                                                         std::chrono::milliseconds limit);
  boost::asio::awaitable<AnyReply> call(seam::Request request, std::chrono::milliseconds limit);
  bool send(const seam::Request& request);
  // Gives the oldest unanswered call its time, once.
  void watch_oldest();
  // Ends the session; the first reason is the one that is told.
  void close(std::string_view reason);

  boost::asio::io_context& context_;
  Settings settings_;
  Observer* observer_ = nullptr;
  Tasks tasks_;
  Socket socket_;
  boost::asio::steady_timer retry_;
  bool stopping_ = false;
  bool connected_ = false;
  bool writing_ = false;
  seam::HelloReply hello_;
  seam::FrameDecoder decoder_;
  std::deque<std::string> outbox_;
  std::size_t outbox_bytes_ = 0;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Pending>> pending_;  // by id: the oldest first
  boost::asio::steady_timer deadline_;                         // of the oldest
  std::uint64_t watched_ = 0;                                  // its id; 0: none
  std::string end_reason_;                                     // why we ended the session ourselves
};

}  // namespace holdfast::control
