// SPDX-License-Identifier: Apache-2.0
// An Operator that answers what the test put into it and records the verbs. Lives on the control
// thread like the real one: a test that runs a server on another thread sets it up before and reads
// it after.
#pragma once

#include "control/admin/operator.h"

#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::testing {

class FakeOperator final : public control::Operator {
 public:
  struct Call {
    std::string verb;
    std::string object;
    control::Caller caller;
    control::AdminRequest request;  // of a change
  };

  control::StatusView status_view;
  std::vector<control::ServiceView> service_views;
  std::vector<control::BackendView> backend_views;
  std::vector<control::ResultView> results_of_why;
  std::vector<control::RevisionView> revision_views;
  std::map<std::uint64_t, control::SourcesView> revisions;
  control::SourcesView file;
  control::EventsView events_view;
  bool endless_events = false;
  std::vector<control::EventView> later_events;
  std::vector<std::uint64_t> asked_changes;  // behind which events were asked for
  control::FlowsView flows_view;
  std::vector<control::FlowsQuery> flow_queries;
  std::vector<control::FlowsReset> flow_resets;
  std::vector<control::FlowsMove> flow_moves;
  control::VerbResult result{control::Outcome::kOk, {"done"}};
  bool throws = false;
  std::function<void()> on_status;    // called before it is told; may be empty
  std::function<void()> on_backends;  // called before they are listed; may be empty
  std::vector<Call> calls;
  std::vector<control::ApplyRequest> applied;

  control::StatusView status() override {
    if (on_status) {
      on_status();
    }
    return status_view;
  }
  std::vector<control::ServiceView> services() override { return service_views; }
  std::vector<control::BackendView> backends() override {
    if (on_backends) {
      on_backends();
    }
    return backend_views;
  }
  std::optional<control::WhyView> why(std::string_view object) override {
    for (const control::BackendView& view : backend_views) {
      if (view.service + "/" + view.name == object) {
        return control::WhyView{.backend = view, .check = "tcp", .results = results_of_why};
      }
    }
    return std::nullopt;
  }
  boost::asio::awaitable<bool> refresh(std::chrono::milliseconds) override { co_return true; }
  // Those that changed since; over when there are none, unless they are told again and again.
  boost::asio::awaitable<control::EventsView> events(std::uint64_t life,
                                                     std::uint64_t change,
                                                     std::chrono::milliseconds) override {
    control::EventsView view = events_view;
    std::erase_if(view.events, [&](const control::EventView& event) {
      return !endless_events && life == view.life && event.change <= change;
    });
    view.over = view.events.empty();
    if (view.over && !later_events.empty()) {  // what comes later is told to whoever asks again
      events_view.change = later_events.back().change;
      events_view.events.insert(events_view.events.end(), later_events.begin(), later_events.end());
      later_events.clear();
    }
    asked_changes.push_back(life == view.life ? change : 0);
    co_return view;
  }
  boost::asio::awaitable<control::VerbResult> change(control::AdminRequest request) override {
    std::string objects;
    for (const std::string& object : request.objects) {
      objects += (objects.empty() ? "" : " ") + object;
    }
    return record({.verb = std::string(control::verb_name(request.verb)),
                   .object = objects,
                   .caller = request.caller,
                   .request = request});
  }
  boost::asio::awaitable<control::FlowsView> flows(control::FlowsQuery query) override {
    flow_queries.push_back(std::move(query));
    co_return flows_view;
  }
  boost::asio::awaitable<control::VerbResult> reset_flows(control::FlowsReset request) override {
    flow_resets.push_back(request);
    return record({.verb = "flows reset",
                   .object = request.which.text,
                   .caller = std::move(request.caller),
                   .request = {}});
  }
  boost::asio::awaitable<control::VerbResult> move_flows(control::FlowsMove request) override {
    flow_moves.push_back(request);
    return record({.verb = "flows move",
                   .object = request.service + "/" + request.from + " " + request.to,
                   .caller = std::move(request.caller),
                   .request = {}});
  }
  boost::asio::awaitable<control::VerbResult> order_node(control::NodeRequest request) override {
    return record({.verb = "node " + std::string(control::verb_name(request.verb)),
                   .object = "",
                   .caller = std::move(request.caller),
                   .request = {}});
  }
  boost::asio::awaitable<control::VerbResult> reload(control::Caller caller) override {
    return record({.verb = "reload", .object = "", .caller = std::move(caller), .request = {}});
  }
  boost::asio::awaitable<std::vector<control::RevisionView>> history() override {
    co_return revision_views;
  }
  boost::asio::awaitable<std::expected<control::SourcesView, std::string>> sources(
      std::optional<std::uint64_t> revision) override {
    if (!revision) {
      co_return file;
    }
    const auto found = revisions.find(*revision);
    if (found == revisions.end()) {
      co_return std::unexpected("there is no revision " + std::to_string(*revision));
    }
    co_return found->second;
  }
  boost::asio::awaitable<control::VerbResult> roll_back(control::RollbackRequest request) override {
    return record({.verb = "rollback",
                   .object = request.revision ? std::to_string(*request.revision) : "",
                   .caller = std::move(request.caller),
                   .request = {}});
  }
  boost::asio::awaitable<control::VerbResult> plan(std::string path) override {
    return record({.verb = "plan", .object = std::move(path), .caller = {}, .request = {}});
  }
  boost::asio::awaitable<control::VerbResult> apply(control::ApplyRequest request) override {
    applied.push_back(request);
    return record({.verb = "apply",
                   .object = std::move(request.path),
                   .caller = std::move(request.caller),
                   .request = {}});
  }
  boost::asio::awaitable<control::VerbResult> confirm(control::ConfirmRequest request) override {
    return record({.verb = "confirm",
                   .object = request.revision ? std::to_string(*request.revision) : "",
                   .caller = std::move(request.caller),
                   .request = {}});
  }

 private:
  boost::asio::awaitable<control::VerbResult> record(Call call) {
    if (throws) {
      throw std::runtime_error("a defect");
    }
    calls.push_back(std::move(call));
    co_return result;
  }
};

}  // namespace holdfast::testing
