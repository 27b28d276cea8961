// SPDX-License-Identifier: Apache-2.0
// See engine.h. What the node as a whole is told. To drain: it is not ready and its VIPs have no
// routes, but forwards what comes; written down. Which one of a pair it is: whoever decides that
// (keepalived) tells each node; the dataplane keeps it over its own death, and control over the
// dataplane's start, so nothing of it is on disk: after a reboot it begins anew.
#include "control/engine/engine.h"
#include "control/publish/durable_file.h"
#include "control/publish/offload.h"

#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;
using dataplane::Role;

namespace {

constexpr const char* kLater = ": it takes effect when the dataplane is connected";

std::string told_text(Role role) {
  return role == Role::kActive
             ? "the node is active: it answers for its VIPs, and has announced them"
             : "the node is on standby: it answers for no VIP";
}

}  // namespace

asio::awaitable<VerbResult> Engine::order_node(NodeRequest request) {
  while (verb_busy_) {
    co_await changed_.wait();
  }
  verb_busy_ = true;
  const bool drains = request.verb == NodeVerb::kDrain || request.verb == NodeVerb::kUndrain;
  VerbResult result;
  if (drains) {
    result = co_await drain_node(std::move(request));
  } else {
    result = co_await take_role(std::move(request));
  }
  verb_busy_ = false;
  changed_.notify();
  co_return result;
}

asio::awaitable<VerbResult> Engine::take_role(NodeRequest request) {
  if (!config_.pair) {
    co_return VerbResult{Outcome::kRefused,
                         {"there is no 'pair' in the configuration: a node alone is active"}};
  }
  const Role role = request.verb == NodeVerb::kActive ? Role::kActive : Role::kStandby;
  role_ = role;
  parts_.log.event(Severity::kInfo,
                   "node",
                   {{"now", std::string(role_name(role))},
                    {"who", request.caller.who},
                    {"reason", request.caller.reason}});
  if (!adopted_) {
    co_return VerbResult{Outcome::kUnreachable,
                         {std::string("the dataplane is not connected") + kLater}};
  }
  const auto told = co_await parts_.forwarder.set_role(role);
  if (told) {
    poll_counters();
    co_return VerbResult{Outcome::kOk, {told_text(role)}};
  }
  if (parts_.forwarder.connected()) {
    co_return VerbResult{Outcome::kRefused, {"the dataplane refused it: " + told.error()}};
  }
  co_return VerbResult{Outcome::kUnreachable, {told.error() + kLater}};
}

asio::awaitable<VerbResult> Engine::drain_node(NodeRequest request) {
  const bool drain = request.verb == NodeVerb::kDrain;
  const std::string is = drain ? "the node is drained" : "the node is not drained any more";
  if (drained_.has_value() == drain && node_unsaved_.empty()) {
    co_return VerbResult{Outcome::kOk, {drain ? is + " already" : "the node is not drained"}};
  }
  parts_.log.event(Severity::kInfo,
                   "node",
                   {{"now", drain ? "drained" : "undrained"},
                    {"who", request.caller.who},
                    {"reason", request.caller.reason}});
  drained_.reset();
  if (drain) {
    drained_ = OrderStamp{.since_unix_ms = parts_.unix_ms(),
                          .ttl = std::chrono::milliseconds(0),
                          .who = std::move(request.caller.who),
                          .reason = std::move(request.caller.reason)};
  }
  VerbResult result;
  result.lines.push_back(is);
  co_await save_node_order();
  if (!node_unsaved_.empty()) {
    result.outcome = Outcome::kFailed;
    result.lines.push_back(
        "in force, but not written down: a restart before that succeeds forgets it: " +
        node_unsaved_);
  }
  offer_vips();
  while (routes_.busy()) {
    co_await changed_.wait();
  }
  if (config_.routes && (!adopted_ || !routes_.failure().empty())) {
    result.outcome = Outcome::kUnreachable;
    result.lines.push_back(
        (routes_.failure().empty() ? "the dataplane is not connected" : routes_.failure()) +
        kLater);
  }
  co_return result;
}

asio::awaitable<void> Engine::save_node_order() {
  auto save = [path = directory_ + "/node", text = node_order_text(drained_)] {
    return write_durably(path, text);
  };
  const auto saved = co_await offload(parts_.disk, std::move(save));
  node_unsaved_ = saved ? "" : saved.error();
  node_again_ = saved ? Clock::TimePoint::max() : parts_.clock.now() + kSaveAgain;
  if (!saved) {
    note_disk(saved.error());
  }
}

void Engine::settle_role(Role running) {
  if (running == Role::kAlone) {
    return;  // it cannot be anything else
  }
  if (!role_) {
    role_ = running;
  } else if (*role_ != running) {
    tasks_.spawn(tell_role());
  }
}

asio::awaitable<void> Engine::tell_role() {
  const Role role = role_.value_or(Role::kStandby);
  const auto told = co_await parts_.forwarder.set_role(role);
  if (!told) {
    parts_.log.event(Severity::kError,
                     "node.failed",
                     {{"wanted", std::string(role_name(role))}, {"reason", told.error()}});
  }
}

}  // namespace holdfast::control
