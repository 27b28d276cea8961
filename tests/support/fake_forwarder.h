// SPDX-License-Identifier: Apache-2.0
// A dataplane that answers at once and records what it was told. It keeps what a real one would:
// the generation in force and each member's disposition, over connects and disconnects.
#pragma once

#include "control/publish/forwarder.h"
#include "control/publish/tasks.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::testing {

class FakeForwarder final : public control::Forwarder {
 public:
  explicit FakeForwarder(const boost::asio::any_io_executor& executor) : released_(executor) {}

  void start(Observer& observer) override { observer_ = &observer; }
  boost::asio::awaitable<void> stop() override {
    connected_ = false;
    released_.notify();
    co_return;
  }
  void connect() {
    connected_ = true;
    observer_->on_connect();
  }
  void disconnect() {
    connected_ = false;
    hold = false;
    released_.notify();
    observer_->on_disconnect("the test says so");
  }
  // Lets held publications go on.
  void release() {
    hold = false;
    released_.notify();
  }

  [[nodiscard]] bool connected() const override { return connected_; }
  [[nodiscard]] const seam::HelloReply& hello() const override { return hello_reply; }
  Answer<seam::PublishReply> publish(dataplane::GenerationSpec generation) override {
    publications.push_back(generation);
    while (hold) {
      co_await released_.wait();
    }
    if (!connected_) {
      co_return std::unexpected("the connection ended");
    }
    if (!refusal.empty()) {
      co_return std::unexpected(refusal);
    }
    in_force = std::move(generation);
    seam::PublishReply reply;
    reply.set_number(in_force.number);
    for (const dataplane::ServiceSpec& service : in_force.services) {
      for (const dataplane::MemberSpec& member : service.members) {
        shown[{service.name, member.backend}] = member.disposition;
      }
    }
    co_return reply;
  }
  Answer<std::vector<std::string>> set_dispositions(
      std::vector<control::DispositionChange> batch) override {
    for (control::DispositionChange& change : batch) {
      shown[{change.service, change.backend}] = change.disposition;
      changes.push_back(std::move(change));
    }
    co_return std::vector<std::string>();
  }
  Answer<control::RunningState> running() override {
    control::RunningState state{.generation = in_force, .members = {}};
    for (const dataplane::ServiceSpec& service : in_force.services) {
      for (const dataplane::MemberSpec& member : service.members) {
        state.members.push_back({.service = service.name,
                                 .backend = member.backend,
                                 .address = member.address,
                                 .port = member.port,
                                 .disposition = shown[{service.name, member.backend}]});
      }
    }
    co_return state;
  }
  Answer<seam::GetCountersReply> counters() override {
    ++polls;
    co_return counters_reply;
  }

  bool hold = false;    // publications wait for release()
  std::string refusal;  // what publications are refused with
  dataplane::GenerationSpec in_force;
  std::map<std::pair<std::string, std::string>, dataplane::Disposition> shown;
  std::vector<dataplane::GenerationSpec> publications;
  std::vector<control::DispositionChange> changes;
  seam::GetCountersReply counters_reply;
  seam::HelloReply hello_reply;
  std::size_t polls = 0;

 private:
  control::Condition released_;
  Observer* observer_ = nullptr;
  bool connected_ = false;
};

}  // namespace holdfast::testing
