// SPDX-License-Identifier: Apache-2.0
// The operator's verbs on flows: what the dataplane is asked, what is refused before, what is
// logged and entered, and that one walks at a time.
#include "tests/unit/control/engine_fixture.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EngineFlowsTest : public EngineTest {
 protected:
  static FlowsReset reset_of(const std::string& service) {
    FlowsReset request;
    request.which.service = service;
    request.which.text = service.empty() ? "" : "service=" + service;
    request.caller = {.who = "uid=0(root)", .reason = "a leak"};
    return request;
  }
  static FlowsMove move_of(const std::string& from, const std::string& to) {
    FlowsMove request;
    request.service = "web";
    request.from = from;
    request.to = to;
    request.caller = {.who = "uid=0(root)", .reason = "a leak"};
    return request;
  }
  VerbResult reset(FlowsReset request) { return get(engine->reset_flows(std::move(request))); }
  VerbResult move(FlowsMove request) { return get(engine->move_flows(std::move(request))); }
  // The answer of a verb that goes on while the test does.
  std::shared_ptr<std::optional<VerbResult>> begin_reset() {
    auto result = std::make_shared<std::optional<VerbResult>>();
    boost::asio::co_spawn(
        context,
        engine->reset_flows(reset_of("web")),
        [result](const std::exception_ptr&, VerbResult value) { *result = std::move(value); });
    run();
    return result;
  }
  std::size_t logged(const std::string& what) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(lines, [&](const std::string& line) { return line.contains(what); }));
  }
  std::vector<std::string> kinds() {
    std::vector<std::string> all;
    for (const EventView& event : get(engine->events(0, 0, 0ms)).events) {
      all.push_back(event.kind);
    }
    return all;
  }
};

TEST_F(EngineFlowsTest, ListsWhatTheDataplaneFinds) {
  begin_up();
  forwarder->walk_reply.set_matched(7);
  seam::Flow& flow = *forwarder->walk_reply.add_flows();
  flow.set_service("web");
  flow.set_backend("a");
  flow.set_protocol(6);
  flow.set_mode(1);
  flow.set_state(2);
  FlowsQuery query;
  query.which.service = "web";
  query.limit = 5;
  const FlowsView view = get(engine->flows(std::move(query)));
  EXPECT_EQ(view.result.outcome, Outcome::kOk);
  EXPECT_EQ(view.matched, 7U);
  ASSERT_THAT(view.flows, SizeIs(1));
  EXPECT_EQ(view.flows[0].mode, "dsr");
  EXPECT_EQ(view.flows[0].state, "established");
  EXPECT_EQ(view.flows[0].protocol, "tcp");
  ASSERT_THAT(forwarder->walks, SizeIs(1));
  EXPECT_EQ(forwarder->walks[0].list_flows().filter().service(), "web");
  EXPECT_EQ(forwarder->walks[0].list_flows().limit(), 5U);
  EXPECT_EQ(logged("flows."), 0U) << "a look";
}

TEST_F(EngineFlowsTest, ACountAsksForNoRows) {
  begin_up();
  FlowsQuery query;
  query.count = true;
  get(engine->flows(std::move(query)));
  EXPECT_EQ(forwarder->walks.at(0).list_flows().limit(), 0U);
}

TEST_F(EngineFlowsTest, AResetIsLoggedBeforeAndAfterAndEntered) {
  begin_up();
  forwarder->walk_reply.set_matched(12);
  forwarder->walk_reply.set_given(9);
  forwarder->walk_reply.set_forgotten(1);
  forwarder->walk_reply.set_being_reset(2);
  seam::BackendFlows& of_a = *forwarder->walk_reply.add_backends();
  of_a.set_service("web");
  of_a.set_backend("a");
  of_a.set_flows(10);
  const VerbResult result = reset(reset_of("web"));
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_THAT(
      result.lines,
      ElementsAre("reset within 2s, or when an idle client has answered: 9 flows (web/a 10)",
                  "forgotten: 1 flow of UDP",
                  "being reset already: 2 flows"));
  EXPECT_EQ(logged(R"x(event=flows.reset flows="service=web" who="uid=0(root)" reason="a leak")x"),
            1U);
  EXPECT_EQ(logged("event=flows.reset.done"), 1U);
  EXPECT_EQ(logged("reset=9"), 1U);
  EXPECT_THAT(kinds(), ::testing::Contains("flows_reset"));
  EXPECT_FALSE(forwarder->walks.at(0).reset_flows().dry());
}

TEST_F(EngineFlowsTest, ARehearsalLeavesNoTrace) {
  begin_up();
  forwarder->walk_reply.set_matched(3);
  FlowsReset request = reset_of("web");
  request.dry_run = true;
  EXPECT_THAT(reset(std::move(request)).lines, ElementsAre("would be reset: 3 flows"));
  FlowsMove move_request = move_of("a", "b");
  move_request.dry_run = true;
  EXPECT_THAT(move(std::move(move_request)).lines,
              ElementsAre("would be moved: 3 flows from web/a to web/b"));
  EXPECT_TRUE(forwarder->walks.at(0).reset_flows().dry());
  EXPECT_TRUE(forwarder->walks.at(1).move_flows().dry()) << "the dataplane's checks run too";
  EXPECT_EQ(logged("flows."), 0U);
  EXPECT_THAT(kinds(), ::testing::Not(::testing::Contains("flows_reset")));
}

TEST_F(EngineFlowsTest, AResetOfEverythingHasToSaySo) {
  begin_up();
  EXPECT_EQ(reset(reset_of("")).outcome, Outcome::kRefused);
  EXPECT_THAT(forwarder->walks, IsEmpty());
  FlowsReset all = reset_of("");
  all.all = true;
  EXPECT_THAT(reset(std::move(all)).lines, ElementsAre("no flow matches"));
  EXPECT_TRUE(forwarder->walks.at(0).reset_flows().all());
}

TEST_F(EngineFlowsTest, AMoveGoesToABackendThatIsUpAndEnabledUnlessForced) {
  begin_up();
  EXPECT_THAT(move(move_of("a", "z")).lines, ElementsAre("there is no backend web/z"));
  drain("web/b");
  const VerbResult refused = move(move_of("a", "b"));
  EXPECT_EQ(refused.outcome, Outcome::kRefused);
  EXPECT_THAT(refused.lines, ElementsAre(HasSubstr("web/b is draining")));
  EXPECT_THAT(forwarder->walks, IsEmpty());
  prober.dead.insert(13);
  pass(1'000ms);
  EXPECT_THAT(move(move_of("a", "c")).lines, ElementsAre(HasSubstr("web/c is down")));
  FlowsMove forced = move_of("a", "b");
  forced.force = true;
  forwarder->walk_reply.set_given(4);
  const VerbResult done = move(std::move(forced));
  EXPECT_EQ(done.outcome, Outcome::kOk);
  EXPECT_THAT(done.lines,
              ElementsAre("moved: 4 flows from web/a to web/b", "forced: web/b is draining"));
  EXPECT_EQ(logged("forced=\"web/b is draining\""), 1U);
  EXPECT_EQ(logged("moved=4"), 1U);
  EXPECT_THAT(kinds(), ::testing::Contains("flows_move"));
}

TEST_F(EngineFlowsTest, AMoveThatEndsEarlySaysHowFarItCame) {
  begin_up();
  forwarder->walk_reply.set_given(3);
  forwarder->walk_reply.set_ended_early("web/b is no longer configured");
  const VerbResult result = move(move_of("a", "b"));
  EXPECT_EQ(result.outcome, Outcome::kFailed);
  EXPECT_THAT(result.lines,
              ElementsAre("ended before all were moved: web/b is no longer configured",
                          "moved: 3 flows from web/a to web/b"));
}

TEST_F(EngineFlowsTest, WhatTheDataplaneRefusesIsRefused) {
  begin_up();
  forwarder->walk_failure = "in mode nat ...";
  const VerbResult result = move(move_of("a", "b"));
  EXPECT_EQ(result.outcome, Outcome::kRefused);
  EXPECT_THAT(result.lines, ElementsAre("in mode nat ..."));
  EXPECT_THAT(kinds(), ::testing::Not(::testing::Contains("flows_move")));
}

TEST_F(EngineFlowsTest, WithoutADataplaneNothingIsKnown) {
  begin();
  EXPECT_EQ(reset(reset_of("web")).outcome, Outcome::kUnreachable);
  EXPECT_EQ(get(engine->flows({})).result.outcome, Outcome::kUnreachable);
}

TEST_F(EngineFlowsTest, AsksUntilTheWalkIsOver) {
  begin_up();
  forwarder->walk_rounds = 5;
  const auto result = begin_reset();
  EXPECT_FALSE(result->has_value());
  pass(100ms);
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ(result->value().outcome, Outcome::kOk);
}

TEST_F(EngineFlowsTest, TurnAndWalkTogetherHaveOneDeadline) {
  begin_up();
  forwarder->walk_rounds = 1'000'000;
  const auto first = begin_reset();
  pass(6'000ms);
  const auto second = begin_reset();
  pass(4'200ms);
  ASSERT_TRUE(first->has_value());
  EXPECT_EQ(first->value().outcome, Outcome::kTimedOut);
  EXPECT_EQ(forwarder->walks_forgotten, 1U);
  EXPECT_FALSE(second->has_value());
  EXPECT_THAT(forwarder->walks, SizeIs(2)) << "the second one has its turn";
  pass(6'000ms);
  ASSERT_TRUE(second->has_value()) << "10 s after it was asked for";
  EXPECT_EQ(second->value().outcome, Outcome::kTimedOut);
  forwarder->walk_rounds = 0;
  EXPECT_EQ(reset(reset_of("web")).outcome, Outcome::kOk);
}

TEST_F(EngineFlowsTest, WhoeverGetsNoTurnInTimeHasDoneNothing) {
  begin_up();
  forwarder->walk_rounds = 1'000'000;
  const auto first = begin_reset();
  const auto second = begin_reset();
  pass(10'100ms);
  ASSERT_TRUE(first->has_value());
  ASSERT_TRUE(second->has_value());
  EXPECT_EQ(second->value().outcome, Outcome::kTimedOut);
}

TEST_F(EngineFlowsTest, AConnectionThatEndsFreesTheWay) {
  begin_up();
  forwarder->walk_rounds = 1'000'000;
  const auto lost = begin_reset();
  forwarder->disconnect();
  pass(100ms);
  ASSERT_TRUE(lost->has_value());
  EXPECT_EQ(lost->value().outcome, Outcome::kUnreachable);
  EXPECT_THAT(lost->value().lines.at(0), HasSubstr("it is not known what was done"));
  forwarder->walk_rounds = 0;
  forwarder->connect();
  pass(600ms);
  EXPECT_EQ(reset(reset_of("web")).outcome, Outcome::kOk);
}

TEST_F(EngineFlowsTest, AStopDoesNotWaitForAWalk) {
  begin_up();
  forwarder->walk_rounds = 1'000'000;
  const auto result = begin_reset();
  stop();
  EXPECT_TRUE(result->has_value());
}

}  // namespace
}  // namespace holdfast::control
