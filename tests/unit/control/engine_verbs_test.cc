// SPDX-License-Identifier: Apache-2.0
// What the operator does and sees: drains with their floor and their delivery, and the views.
#include "tests/unit/control/engine_fixture.h"

#include <filesystem>
#include <optional>
#include <string>

#include <boost/asio/co_spawn.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;

TEST_F(EngineTest, DrainsAtOnceWritesItDownAndUndoesItOnlyOnRequest) {
  begin_up();
  const VerbResult result = drain("web/a");
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_EQ(result.lines,
            (std::vector<std::string>{
                "web/a is draining: established flows live on, after 5m they are reset"}));
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_EQ(written().orders.at({"web", "a"}).state->stamp.reason, "kernel");
  prober.dead = {11};
  pass(1s);
  prober.dead = {};
  pass(2s);
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_EQ(drain("a").lines.at(0), "web/a is draining already");
  EXPECT_EQ(undrain("web/a").outcome, Outcome::kOk);
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_EQ(undrain("web/a").lines.at(0), "web/a is enabled already");
}

TEST_F(EngineTest, RefusesADrainThatWouldLeaveNobody) {
  begin_up();
  EXPECT_EQ(drain("host:10.0.3.11").outcome, Outcome::kOk);
  prober.dead = {12};
  pass(500ms);
  const VerbResult refused = drain("web/c");
  EXPECT_EQ(refused.outcome, Outcome::kRefused);
  EXPECT_THAT(refused.lines.at(0), HasSubstr("would be left with 0 of 3"));
  EXPECT_EQ(shown("c"), kNew);
  EXPECT_EQ(drain("web/b").outcome, Outcome::kOk);  // dead: nothing is lost
  EXPECT_EQ(drain("web/nobody").outcome, Outcome::kUsage);
}

TEST_F(EngineTest, GoesOnWithAFullDiskSaysSoAndWritesDownWhatItCanLater) {
  begin_up();
  std::filesystem::remove_all(directory.path());
  const VerbResult result = drain("web/a");
  EXPECT_EQ(result.outcome, Outcome::kFailed);
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_THAT(result.lines, Contains(HasSubstr("not written down")));
  EXPECT_GE(engine->status().disk_errors, 1U);
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("not written down")));
  std::filesystem::create_directories(directory.path());
  pass(6s);
  EXPECT_TRUE(std::filesystem::exists(directory.file("orders")));
  EXPECT_THAT(engine->status().notices, Not(Contains(HasSubstr("not written down"))));
}

TEST_F(EngineTest, ForgetsTheDrainOfABackendThatIsNoLongerConfigured) {
  begin_up();
  drain("web/a");
  write(yaml(member("b", 12) + ", " + member("c", 13)));
  ASSERT_EQ(reload().outcome, Outcome::kOk);
  write(yaml(kThree));
  ASSERT_EQ(reload().outcome, Outcome::kOk);
  pass(300ms);
  EXPECT_EQ(shown("a"), kNew);
}

TEST_F(EngineTest, PollsCountersAndRefreshesThemOnRequest) {
  begin_up();
  const std::size_t before = forwarder->polls;
  pass(1s);
  EXPECT_EQ(forwarder->polls, before + 4);
  seam::MemberCounters& counters = *forwarder->counters_reply.add_members();
  counters.mutable_ref()->set_service("web");
  counters.mutable_ref()->set_backend("a");
  counters.mutable_ref()->set_address(
      std::string("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\x03\x0b", 16));
  counters.set_flows(42);
  seam::NamedValue& value = *counters.add_values();
  value.set_name("new_flows");
  value.set_value(1000);
  *forwarder->counters_reply.add_members() = counters;
  forwarder->counters_reply.mutable_members(1)->set_retired(true);
  forwarder->counters_reply.mutable_members(1)->mutable_ref()->set_port(81);
  EXPECT_TRUE(get(engine->refresh(100ms)));
  EXPECT_EQ(view("a").flows, 42U);
  EXPECT_EQ(view("a").new_flows, 1000U);
  EXPECT_TRUE(engine->backends().back().retired);
  EXPECT_EQ(engine->services().at(0).usable, 3U);
  EXPECT_EQ(engine->services().at(0).flows, 84U);
  EXPECT_EQ(engine->services().at(0).new_flows, 2000U);
  EXPECT_FALSE(engine->services().at(0).moves);
  seam::ServiceMoves& moves = *forwarder->counters_reply.add_moves();
  moves.set_service("web");
  moves.set_reset(3);
  EXPECT_TRUE(get(engine->refresh(100ms)));
  EXPECT_EQ(engine->services().at(0).moves->reset, 3U);
  pass(100ms);
  EXPECT_DOUBLE_EQ(engine->status().counters_age_s, 0.1);
}

TEST_F(EngineTest, ClaimsToKnowNothingOfADataplaneThatIsAway) {
  begin_up();
  forwarder->counters_reply.set_mbufs_total(8192);
  forwarder->counters_reply.set_guard_losses(2);
  forwarder->counters_reply.add_workers();
  forwarder->counters_reply.add_ports();
  seam::MemberCounters& counters = *forwarder->counters_reply.add_members();
  counters.set_retired(true);
  ASSERT_TRUE(get(engine->refresh(100ms)));
  ASSERT_EQ(engine->backends().size(), 4U);
  EXPECT_EQ(engine->status().mbufs_total, 8192U);
  EXPECT_EQ(engine->status().guard_losses, 2U);
  forwarder->disconnect();
  EXPECT_FALSE(get(engine->refresh(100ms)));
  for (const BackendView& one : engine->backends()) {
    EXPECT_FALSE(one.flows || one.new_flows || one.packets_to_member || one.bytes_to_client);
    EXPECT_FALSE(one.retired);
  }
  EXPECT_EQ(engine->services().at(0).flows, std::nullopt);
  EXPECT_EQ(engine->services().at(0).new_flows, std::nullopt);
  const StatusView status = engine->status();
  EXPECT_FALSE(status.generation || status.mbufs_total || status.state_bytes);
  EXPECT_TRUE(status.workers.empty());
  EXPECT_TRUE(status.ports.empty());
}

TEST_F(EngineTest, CountsReloadsByResultAndWhatItDidNotLogOrProbe) {
  begin_up();
  ASSERT_EQ(reload().outcome, Outcome::kOk);
  for (int i = 0; i < 600; ++i) {
    log.event(Severity::kInfo, "burst", {});
  }
  const StatusView status = engine->status();
  EXPECT_EQ(status.reloads_applied, 1U);
  EXPECT_EQ(status.reloads_unchanged, 1U);
  EXPECT_EQ(status.log_lines_suppressed, log.suppressed());
  EXPECT_GT(status.log_lines_suppressed, 0U);
  EXPECT_EQ(status.log_lines_dropped, 7U);
  EXPECT_EQ(status.probes_skipped, 0U);
}

TEST_F(EngineTest, ShowsTheWeightInForce) {
  begin_up();
  EXPECT_EQ(view("b").weight, 100U);
  prober.dead = {12};
  pass(11s);
  EXPECT_EQ(view("b").weight, 0U);
}

TEST_F(EngineTest, DoesNotCallAMemberDrainingInForceThatTheDataplaneNeverHeardOf) {
  begin_up();
  forwarder->disposition_failure = "the dataplane did not answer within 2 s";
  const VerbResult lost = drain("web/a");
  EXPECT_EQ(lost.outcome, Outcome::kUnreachable);
  EXPECT_THAT(lost.lines, Contains(HasSubstr("within 2 s")));
  EXPECT_EQ(view("a").admin, "draining");
  forwarder->disposition_failure.clear();
  forwarder->unknown = {"b"};
  const VerbResult refused = drain("web/b");
  EXPECT_EQ(refused.outcome, Outcome::kRefused);
  EXPECT_THAT(refused.lines, Contains(HasSubstr("no member web/b")));
  EXPECT_THAT(lines, Contains("event=dispositions.refused count=1 first=\"no member web/b\""));
  EXPECT_EQ(undrain("web/a").outcome, Outcome::kOk);
}

TEST_F(EngineTest, SaysThatADrainTakesEffectLaterWhenTheConnectionBreaksUnderIt) {
  begin_up();
  forwarder->hold_dispositions = true;
  std::optional<VerbResult> result;
  asio::co_spawn(context,
                 engine->change(asked(AdminVerb::kDrain, "web/a")),
                 [&](const std::exception_ptr&, VerbResult value) { result = std::move(value); });
  run();
  EXPECT_FALSE(result.has_value());
  forwarder->disconnect();
  run();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->outcome, Outcome::kUnreachable);
  EXPECT_THAT(result->lines, Contains(HasSubstr("takes effect when")));
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(shown("a"), kKeep);
}

TEST_F(EngineTest, CountsOnlyMembersWithWeightTowardsTheFloor) {
  write(yaml(member("a", 11) + ", " + member("b", 12, 0)));
  begin_up();
  EXPECT_EQ(engine->services().at(0).usable, 1U);
  EXPECT_EQ(drain("web/a").outcome, Outcome::kRefused);
  EXPECT_EQ(drain("web/b").outcome, Outcome::kOk);
}

TEST_F(EngineTest, DrainsADeadMemberOfADeadService) {
  begin_up();
  prober.dead = {11, 12, 13};
  pass(500ms);
  EXPECT_EQ(drain("web/a").outcome, Outcome::kOk);
  EXPECT_EQ(shown("a"), kKeep);
}

TEST_F(EngineTest, DrainsAMemberThatWasNotProbedYet) {
  begin();
  forwarder->connect();
  run();
  ASSERT_EQ(view("a").health, "unknown");
  EXPECT_EQ(drain("web/a").outcome, Outcome::kOk);
}

}  // namespace
}  // namespace holdfast::control
