// SPDX-License-Identifier: Apache-2.0
// The dataplane as control sees it: a few cold calls. Production speaks the seam's protocol
// (seam_forwarder.h); tests have a fake that records. Control thread only; every call ends by its
// own deadline, and errors are one sentence.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/spec.h"

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace holdfast::control {

struct DispositionChange {
  std::string service;
  std::string backend;
  dataplane::Disposition disposition = dataplane::Disposition::kNew;
  // The dataplane resets it by itself then; 0: never. One that cannot (its hello has a notice that
  // says so) is not told.
  std::chrono::milliseconds reset_in{0};
  bool operator==(const DispositionChange&) const = default;
};

// A member as the running dataplane has it.
struct RunningMember {
  std::string service;
  std::string backend;
  dataplane::Address address;
  std::uint16_t port = 0;
  dataplane::Disposition disposition = dataplane::Disposition::kNew;
  bool retired = false;
  std::chrono::milliseconds reset_in{0};
};

struct RunningState {
  dataplane::GenerationSpec generation;  // number 0: none yet
  std::vector<RunningMember> members;
  dataplane::Role role = dataplane::Role::kAlone;
};

class Forwarder {
 public:
  template <typename Value>
  using Answer = boost::asio::awaitable<std::expected<Value, std::string>>;

  // Told when the connection comes and goes.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void on_connect() = 0;
    virtual void on_disconnect(const std::string& reason) = 0;
    virtual void on_event(const seam::Event& event) = 0;
  };

  virtual ~Forwarder() = default;
  // Connects, and again whenever the connection breaks. Requires: `observer` outlives stop().
  virtual void start(Observer& observer) = 0;
  virtual boost::asio::awaitable<void> stop() = 0;

  [[nodiscard]] virtual bool connected() const = 0;
  // What the dataplane said of itself. Requires: connected().
  [[nodiscard]] virtual const seam::HelloReply& hello() const = 0;

  // Returns when no worker sees the generation before.
  virtual Answer<seam::PublishReply> publish(dataplane::GenerationSpec generation) = 0;
  // Sends all changes at once and returns when the last worker sees them. The value is what the
  // dataplane refused, one sentence each.
  virtual Answer<std::vector<std::string>> set_dispositions(
      std::vector<DispositionChange> changes) = 0;
  // These VIPs have a route from now on, and no others. The value is how many routes there are: a
  // VIP that the dataplane does not forward has none. A dataplane that makes none refuses.
  virtual Answer<std::uint32_t> set_routes(std::vector<dataplane::VipPrefix> vips) = 0;
  // Makes the node what `role` says, at once. A dataplane that was started alone refuses.
  virtual Answer<dataplane::Role> set_role(dataplane::Role role) = 0;
  // Begins a walk over the flows: `request` has list_flows, reset_flows or move_flows. The value is
  // its number. A dataplane that knows none refuses.
  virtual Answer<std::uint64_t> begin_walk(seam::Request request) = 0;
  // What that walk has found so far: `running`, or all of it, once. With `forget` it ends.
  virtual Answer<seam::CollectFlowsReply> collect_walk(seam::CollectFlows request) = 0;
  virtual Answer<RunningState> running() = 0;
  virtual Answer<seam::GetCountersReply> counters() = 0;
};

}  // namespace holdfast::control
