// SPDX-License-Identifier: Apache-2.0
// The engine's life: start, adoption, results, passing time, publication.
#include "tests/unit/control/engine_fixture.h"

#include <filesystem>
#include <string>

#include <boost/asio/thread_pool.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(EngineTest, PublishesAFreshConfigurationAndGivesTrafficAfterTheFirstGoodProbe) {
  begin();
  forwarder->connect();
  run();
  EXPECT_EQ(forwarder->in_force.number, 1U);
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_EQ(engine->status().revision, 1U);
  pass(300ms);
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_EQ(shown(name), kNew) << name;
  }
  EXPECT_EQ(forwarder->publications.size(), 1U);
  EXPECT_TRUE(std::filesystem::exists(directory.file("revision-1")));
}

TEST_F(EngineTest, AvoidsAKilledBackendWithinOneIntervalAndBringsItBackAfterRisePasses) {
  begin_up();
  prober.dead = {12};
  pass(250ms);
  EXPECT_EQ(shown("b"), kAvoid);
  pass(60ms);
  EXPECT_EQ(view("b").health, "down");
  EXPECT_EQ(view("b").cause, "L4 refused, 2 in a row");
  EXPECT_EQ(shown("a"), kNew);
  prober.dead = {};
  pass(600ms);
  EXPECT_EQ(shown("b"), kNew);
  EXPECT_EQ(forwarder->publications.size(), 1U);  // dispositions alone, no rebuild
  EXPECT_THAT(lines,
              Contains("event=state service=web backend=b from=up/avoid to=down/avoid "
                       "cause=\"L4 refused, 2 in a row\""));
}

TEST_F(EngineTest, RebuildsTheTableForMembersThatAreDownForLong) {
  begin_up();
  prober.dead = {12, 13};
  pass(11s);
  EXPECT_LE(forwarder->publications.size(), 3U);  // their tens of seconds end in two ticks at most
  EXPECT_EQ(forwarder->in_force.services[0].members[1].weight, 0U);
  EXPECT_EQ(forwarder->in_force.services[0].members[2].weight, 0U);
  EXPECT_EQ(shown("b"), kAvoid);
  prober.dead = {};
  pass(1s);
  EXPECT_EQ(forwarder->in_force.services[0].members[1].weight, 100U);
  EXPECT_EQ(shown("b"), kNew);
}

TEST_F(EngineTest, AdoptsARunningDataplaneWithoutAnyChange) {
  begin_up();
  prober.dead = {12};
  pass(12s);
  ASSERT_EQ(drain("web/c").outcome, Outcome::kOk);
  stop();
  const auto left = dataplane->in_force;
  begin(written().orders);
  forwarder->connect();
  pass(2s);
  EXPECT_EQ(forwarder->in_force, left);
  EXPECT_TRUE(forwarder->publications.empty());
  EXPECT_TRUE(forwarder->changes.empty());
  const StatusView status = engine->status();
  EXPECT_EQ(status.adoption_state_changes, 0U);
  EXPECT_GE(status.adopted_ms, 0);
  EXPECT_LT(status.adopted_ms, 2000);
  EXPECT_EQ(status.last_reload.result, "unchanged");
  EXPECT_EQ(view("a").changes, 0U);
  EXPECT_EQ(view("c").admin, "draining");
}

TEST_F(EngineTest, StartsFromTheLastAcceptedRevisionWhenTheFileIsBroken) {
  begin_up();
  stop();
  write("version: 1\nservices: [oops");
  begin();
  forwarder->connect();
  pass(500ms);
  EXPECT_TRUE(forwarder->publications.empty());
  EXPECT_EQ(shown("a"), kNew);
  const StatusView status = engine->status();
  EXPECT_EQ(status.revision, 1U);
  EXPECT_EQ(status.last_reload.result, "refused");
  EXPECT_FALSE(status.last_reload.lines.empty());
}

TEST_F(EngineTest, ProbesAndWaitsWhenThereIsNoDataplane) {
  begin();
  pass(2s);
  EXPECT_GT(prober.started, 0U);
  EXPECT_FALSE(engine->status().dataplane_connected);
  EXPECT_EQ(drain("web/a").outcome, Outcome::kUnreachable);
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_EQ(shown("b"), kNew);
}

TEST_F(EngineTest, PublishesAgainToADataplaneThatLostEverything) {
  begin_up();
  prober.dead = {12};
  pass(500ms);
  forwarder->disconnect();
  forwarder->in_force = {};
  forwarder->shown.clear();
  pass(1s);
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_EQ(shown("b"), kAvoid);
  EXPECT_GT(forwarder->in_force.number, 1U);
}

TEST_F(EngineTest, ReadsAndWritesFilesOnAnotherThread) {
  asio::thread_pool pool(1);
  disk = pool.get_executor();
  begin();
  forwarder->connect();
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (engine->status().reloads_applied == 0 && std::chrono::steady_clock::now() < end) {
    context.restart();
    context.run_one_for(10ms);
  }
  EXPECT_EQ(engine->status().revision, 1U);
  pool.join();
  stop();
}

TEST_F(EngineTest, TriesARefusedGenerationAgainLater) {
  begin();
  forwarder->refusal = "too little memory";
  forwarder->connect();
  pass(1s);
  EXPECT_EQ(engine->status().generation, 0U);
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("too little memory")));
  EXPECT_THAT(engine->status().not_in_force, HasSubstr("too little memory"));
  forwarder->refusal.clear();
  pass(6s);
  EXPECT_GT(engine->status().generation, 0U);
  EXPECT_EQ(engine->status().not_in_force, "");
}

TEST_F(EngineTest, TriesAnAdoptionAgainThatFailed) {
  begin();
  forwarder->running_failure = "the dataplane's generation: unknown mode";
  forwarder->connect();
  pass(5s);
  EXPECT_LT(forwarder->adoptions, 10U);
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("unknown mode")));
  EXPECT_TRUE(forwarder->publications.empty());
  forwarder->running_failure.clear();
  pass(Engine::kAdoptAgainMost);
  EXPECT_EQ(forwarder->in_force.services.size(), 1U);
  EXPECT_THAT(engine->status().notices, Not(Contains(HasSubstr("unknown mode"))));
}

}  // namespace
}  // namespace holdfast::control
