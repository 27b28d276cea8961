// SPDX-License-Identifier: Apache-2.0
// See engine.h. The operator's verbs on flows. The dataplane goes over its tables, which takes a
// while: a walk is begun, and asked for until it is over. What a verb is about to do is logged and
// entered in the ledger before, what it did is logged after.
#include "control/admin/wire_views.h"
#include "control/engine/engine.h"
#include "dataplane/api/codec.h"

#include <algorithm>
#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds kWalkLimit{10};  // a turn and the walk
constexpr std::chrono::milliseconds kAskAgain{10};

seam::FlowFilter to_wire(const FlowSelection& which) {
  seam::FlowFilter filter = seam::to_wire(which.filter);
  filter.set_service(which.service);
  filter.set_backend(which.backend);
  return filter;
}

std::string object_of(const FlowSelection& which) {
  return which.text.empty() ? "all flows" : which.text;
}

std::string flows_text(std::uint64_t count) {
  return std::to_string(count) + (count == 1 ? " flow" : " flows");
}

// " (web/a 10, web/b 2)"; empty where there are none.
std::string backends_text(const seam::CollectFlowsReply& found) {
  constexpr int kNamed = 20;
  std::string text;
  for (int i = 0; i < std::min(found.backends_size(), kNamed); ++i) {
    const seam::BackendFlows& one = found.backends(i);
    text += (i == 0 ? " (" : ", ") + one.service() + "/" + one.backend() + " " +
            std::to_string(one.flows());
  }
  const char* const end = found.backends_size() > kNamed ? ", ...)" : ")";
  return text.empty() ? text : text + end;
}

std::vector<NamedCount> counts_of(const seam::CollectFlowsReply& found, std::string_view given) {
  return {{"matched", found.matched()},
          {std::string(given), found.given()},
          {"forgotten", found.forgotten()},
          {"being_reset", found.being_reset()}};
}

VerbResult reset_result(const seam::CollectFlowsReply& found, bool dry_run) {
  VerbResult result{Outcome::kOk, {}, {}, counts_of(found, "reset")};
  const std::uint64_t meant = found.matched() - std::min(found.matched(), found.being_reset());
  const std::uint64_t done = found.given() + found.forgotten();
  if (!found.ended_early().empty()) {
    result.outcome = done == 0 ? Outcome::kRefused : Outcome::kFailed;
    result.lines.push_back(found.ended_early());
  }
  if (found.matched() == 0) {
    result.lines.emplace_back("no flow matches");
  } else if (dry_run) {
    result.lines.push_back("would be reset: " + flows_text(meant) + backends_text(found));
  } else if (result.outcome != Outcome::kRefused) {
    result.lines.push_back("reset within 2s, or when an idle client has answered: " +
                           flows_text(found.given()) + backends_text(found));
    if (found.forgotten() != 0) {
      result.lines.push_back("forgotten: " + flows_text(found.forgotten()) + " of UDP");
    }
  }
  if (found.being_reset() != 0) {
    result.lines.push_back("being reset already: " + flows_text(found.being_reset()));
  }
  return result;
}

VerbResult move_result(const seam::CollectFlowsReply& found, const FlowsMove& request) {
  VerbResult result{Outcome::kOk, {}, {}, counts_of(found, "moved")};
  const std::string way =
      " from " + request.service + "/" + request.from + " to " + request.service + "/" + request.to;
  if (!found.ended_early().empty()) {
    result.outcome = found.given() == 0 ? Outcome::kRefused : Outcome::kFailed;
    result.lines.push_back("ended before all were moved: " + found.ended_early());
  }
  const std::uint64_t meant = found.matched() - std::min(found.matched(), found.being_reset());
  result.lines.push_back(request.dry_run ? "would be moved: " + flows_text(meant) + way
                                         : "moved: " + flows_text(found.given()) + way);
  if (found.being_reset() != 0) {
    result.lines.push_back("being reset, and stay: " + flows_text(found.being_reset()));
  }
  return result;
}

}  // namespace

// Whoever has it walks; it is over when this is destroyed.
class Engine::WalkTurn {
 public:
  explicit WalkTurn(Engine& engine) : engine_(engine) { engine_.walking_ = true; }
  ~WalkTurn() {
    engine_.walking_ = false;
    engine_.changed_.notify();
  }
  WalkTurn(const WalkTurn&) = delete;
  WalkTurn& operator=(const WalkTurn&) = delete;

 private:
  Engine& engine_;
};

VerbResult Engine::unwalked(const std::string& why) const {
  if (parts_.forwarder.connected()) {
    return {Outcome::kRefused, {why}};
  }
  return {Outcome::kUnreachable, {why}};
}

asio::awaitable<Engine::Walked> Engine::walk(seam::Request request,
                                             std::optional<LedgerEvent> event) {
  const Clock::TimePoint deadline = parts_.clock.now() + kWalkLimit;
  while (walking_ && !stopping_ && parts_.clock.now() < deadline) {
    co_await wait_until(deadline);
  }
  if (walking_) {
    co_return std::unexpected(
        VerbResult{Outcome::kTimedOut, {"another verb on flows has not ended: nothing was done"}});
  }
  if (!adopted_ || stopping_) {
    co_return std::unexpected(
        VerbResult{Outcome::kUnreachable, {"the dataplane is not connected"}});
  }
  const WalkTurn turn(*this);
  const auto begun = co_await parts_.forwarder.begin_walk(std::move(request));
  if (!begun) {
    co_return std::unexpected(unwalked(begun.error()));
  }
  if (event) {
    enter(*std::move(event));
  }
  co_return co_await collect(*begun, deadline);
}

asio::awaitable<Engine::Walked> Engine::collect(std::uint64_t number, Clock::TimePoint deadline) {
  seam::CollectFlows request;
  request.set_number(number);
  for (;;) {
    auto found = co_await parts_.forwarder.collect_walk(request);
    if (!found) {
      co_return std::unexpected(unwalked("it is not known what was done: " + found.error()));
    }
    if (!found->running()) {
      co_return std::move(*found);
    }
    const Clock::TimePoint now = parts_.clock.now();
    if (now >= deadline || stopping_) {
      request.set_forget(true);
      co_await parts_.forwarder.collect_walk(request);
      co_return std::unexpected(VerbResult{
          Outcome::kTimedOut,
          {"the dataplane has not gone over its flows in time; what it did to some is done"}});
    }
    co_await wait_until(std::min(deadline, now + kAskAgain));
  }
}

asio::awaitable<FlowsView> Engine::flows(FlowsQuery query) {
  seam::Request request;
  *request.mutable_list_flows()->mutable_filter() = to_wire(query.which);
  request.mutable_list_flows()->set_limit(query.count ? 0 : query.limit);
  std::optional<LedgerEvent> none;
  const Walked found = co_await walk(std::move(request), std::move(none));
  FlowsView view;
  if (!found) {
    view.result = found.error();
    co_return view;
  }
  view.matched = found->matched();
  for (const seam::Flow& flow : found->flows()) {
    view.flows.push_back(to_view(flow));
  }
  co_return view;
}

asio::awaitable<VerbResult> Engine::reset_flows(FlowsReset request) {
  if (request.which.text.empty() && !request.all) {
    co_return VerbResult{Outcome::kRefused,
                         {"without a filter that would be all flows there are: say so by --all"}};
  }
  seam::Request message;
  seam::ResetFlows& reset = *message.mutable_reset_flows();
  *reset.mutable_filter() = to_wire(request.which);
  reset.set_all(request.all);
  reset.set_dry(request.dry_run);
  std::optional<LedgerEvent> event;
  if (!request.dry_run) {
    event = LedgerEvent{.kind = "flows_reset",
                        .object = object_of(request.which),
                        .who = request.caller.who,
                        .reason = request.caller.reason};
    if (!request.which.service.empty()) {
      event->services.push_back(request.which.service);
    }
    parts_.log.event(Severity::kInfo,
                     "flows.reset",
                     {{"flows", object_of(request.which)},
                      {"who", request.caller.who},
                      {"reason", request.caller.reason}});
  }
  const Walked found = co_await walk(std::move(message), std::move(event));
  VerbResult result = found ? reset_result(*found, request.dry_run) : found.error();
  if (!request.dry_run) {
    parts_.log.event(result.outcome == Outcome::kOk ? Severity::kInfo : Severity::kWarning,
                     "flows.reset.done",
                     {{"flows", object_of(request.which)},
                      {"reset", std::to_string(found ? found->given() : 0)},
                      {"forgotten", std::to_string(found ? found->forgotten() : 0)},
                      {"who", request.caller.who},
                      {"result", result.lines.empty() ? "" : result.lines.front()}});
  }
  co_return result;
}

std::string Engine::objection_to(const FlowsMove& request) const {
  const MemberName name{request.service, request.to};
  const auto place = roster_.find(name);
  if (!place) {
    return "there is no backend " + label(name);
  }
  const Member& member = roster_.at(*place);
  if (member.admin != Admin::kEnabled) {
    return label(name) + " is " + std::string(admin_name(member.admin));
  }
  const Health health = member.judgement.health;
  return health == Health::kUp ? "" : label(name) + " is " + std::string(health_name(health));
}

asio::awaitable<VerbResult> Engine::move_flows(FlowsMove request) {
  const MemberName name{request.service, request.to};
  if (!roster_.find(name)) {
    co_return VerbResult{Outcome::kRefused, {"there is no backend " + label(name)}};
  }
  const std::string objection = objection_to(request);
  if (!objection.empty() && !request.force) {
    co_return VerbResult{Outcome::kRefused,
                         {objection + ": --force moves flows there all the same"}};
  }
  seam::Request message;
  seam::MoveFlows& move = *message.mutable_move_flows();
  move.set_service(request.service);
  move.set_from(request.from);
  move.set_to(request.to);
  move.set_dry(request.dry_run);
  const std::string object = label({request.service, request.from}) + " " + label(name);
  std::optional<LedgerEvent> event;
  if (!request.dry_run) {
    event = LedgerEvent{.kind = "flows_move",
                        .object = object,
                        .who = request.caller.who,
                        .reason = request.caller.reason,
                        .services = {request.service}};
    parts_.log.event(Severity::kInfo,
                     "flows.move",
                     {{"flows", object},
                      {"who", request.caller.who},
                      {"reason", request.caller.reason},
                      {"forced", objection}});
  }
  const Walked found = co_await walk(std::move(message), std::move(event));
  VerbResult result = found ? move_result(*found, request) : found.error();
  if (found && !objection.empty()) {
    result.lines.push_back("forced: " + objection);
  }
  if (!request.dry_run) {
    parts_.log.event(result.outcome == Outcome::kOk ? Severity::kInfo : Severity::kWarning,
                     "flows.move.done",
                     {{"flows", object},
                      {"moved", std::to_string(found ? found->given() : 0)},
                      {"who", request.caller.who},
                      {"result", result.lines.empty() ? "" : result.lines.front()}});
  }
  co_return result;
}

}  // namespace holdfast::control
