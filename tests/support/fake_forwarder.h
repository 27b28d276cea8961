// SPDX-License-Identifier: Apache-2.0
// A dataplane that answers at once and records what it was told. It keeps what a real one would:
// the generation in force and each member's disposition, over connects and disconnects.
#pragma once

#include "control/publish/forwarder.h"
#include "control/publish/tasks.h"

#include <map>
#include <set>
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
    hold = hold_dispositions = false;
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
    while (hold_dispositions) {
      co_await released_.wait();
    }
    if (!connected_) {
      co_return std::unexpected("the connection ended");
    }
    if (!disposition_failure.empty()) {
      co_return std::unexpected(disposition_failure);
    }
    std::vector<std::string> refused;
    for (control::DispositionChange& change : batch) {
      if (unknown.contains(change.backend)) {
        refused.push_back("no member " + change.service + "/" + change.backend);
        continue;
      }
      shown[{change.service, change.backend}] = change.disposition;
      resets[{change.service, change.backend}] = change.reset_in;
      changes.push_back(std::move(change));
    }
    co_return refused;
  }
  Answer<std::uint32_t> set_routes(std::vector<dataplane::VipPrefix> vips) override {
    if (!routes_failure.empty()) {
      co_return std::unexpected(routes_failure);
    }
    routes.push_back(std::move(vips));
    co_return static_cast<std::uint32_t>(routes.back().size());
  }
  Answer<dataplane::Role> set_role(dataplane::Role told) override {
    if (!role_failure.empty()) {
      co_return std::unexpected(role_failure);
    }
    roles.push_back(told);
    role = told;
    co_return told;
  }
  Answer<std::uint64_t> begin_walk(seam::Request request) override {
    if (!connected_ || !walk_failure.empty()) {
      co_return std::unexpected(connected_ ? walk_failure : "the connection ended");
    }
    walks.push_back(std::move(request));
    co_return walks.size();
  }
  // Runs for as many questions as the test says.
  Answer<seam::CollectFlowsReply> collect_walk(seam::CollectFlows collect) override {
    if (!connected_) {
      co_return std::unexpected("the connection ended");
    }
    seam::CollectFlowsReply reply;
    if (collect.forget()) {
      ++walks_forgotten;
    } else if (walk_rounds != 0) {
      --walk_rounds;
      reply.set_running(true);
    } else {
      reply = walk_reply;
    }
    co_return reply;
  }
  Answer<control::RunningState> running() override {
    ++adoptions;
    if (!running_failure.empty()) {
      co_return std::unexpected(running_failure);
    }
    control::RunningState state{.generation = in_force, .members = {}, .role = role};
    for (const dataplane::ServiceSpec& service : in_force.services) {
      for (const dataplane::MemberSpec& member : service.members) {
        state.members.push_back({.service = service.name,
                                 .backend = member.backend,
                                 .address = member.address,
                                 .port = member.port,
                                 .disposition = shown[{service.name, member.backend}],
                                 .reset_in = resets[{service.name, member.backend}]});
      }
    }
    co_return state;
  }
  Answer<seam::GetCountersReply> counters() override {
    ++polls;
    co_return counters_reply;
  }

  bool hold = false;                // publications wait for release()
  bool hold_dispositions = false;   // they wait until the connection ends
  std::string refusal;              // what publications are refused with
  std::string disposition_failure;  // what sending dispositions fails with
  std::set<std::string> unknown;    // backends whose dispositions are refused
  std::string role_failure;         // what telling a role fails with
  std::string routes_failure;       // what sending routes fails with
  std::string running_failure;      // what asking for the running state fails with
  dataplane::GenerationSpec in_force;
  std::map<std::pair<std::string, std::string>, dataplane::Disposition> shown;
  std::map<std::pair<std::string, std::string>, std::chrono::milliseconds> resets;
  std::vector<dataplane::GenerationSpec> publications;
  std::vector<control::DispositionChange> changes;
  dataplane::Role role = dataplane::Role::kAlone;
  std::vector<dataplane::Role> roles;                     // as told
  std::vector<std::vector<dataplane::VipPrefix>> routes;  // as told, the newest last
  std::string walk_failure;                               // what beginning a walk fails with
  std::vector<seam::Request> walks;    // as begun; a walk's number is its place from 1 on
  std::uint64_t walk_rounds = 0;       // questions that are answered with `running`
  seam::CollectFlowsReply walk_reply;  // then
  std::size_t walks_forgotten = 0;
  seam::GetCountersReply counters_reply;
  seam::HelloReply hello_reply;
  std::size_t polls = 0;
  std::size_t adoptions = 0;  // begun

 private:
  control::Condition released_;
  Observer* observer_ = nullptr;
  bool connected_ = false;
};

}  // namespace holdfast::testing
