// SPDX-License-Identifier: Apache-2.0
// Admin states and weights that an operator orders: what they do, how they end, that they survive,
// and when they are refused.
#include "tests/unit/control/engine_fixture.h"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using enum Disposition;

class EngineOrdersTest : public EngineTest {
 protected:
  AdminRequest weight(const std::string& object, std::optional<std::uint32_t> value) const {
    AdminRequest request = asked(AdminVerb::kWeight, object);
    request.weight = value;
    return request;
  }
  std::uint32_t weight_in_force(const std::string& backend) const {
    for (const dataplane::MemberSpec& one : forwarder->in_force.services.at(0).members) {
      if (one.backend == backend) {
        return one.weight;
      }
    }
    return 99'999;  // not in the generation
  }
  VerbResult maintain(const std::string& object) {
    return change(asked(AdminVerb::kMaintenance, object));
  }
  VerbResult enable(const std::string& object) { return change(asked(AdminVerb::kEnable, object)); }
};

TEST_F(EngineOrdersTest, KeepsAMemberInMaintenanceWhateverItsHealthUntilItIsEnabled) {
  begin_up();
  EXPECT_EQ(maintain("web/a").lines.at(0), "web/a is in maintenance: established flows live on");
  EXPECT_EQ(view("a").admin, "maintenance");
  prober.dead = {11};
  pass(1s);
  prober.dead = {};
  pass(400s);
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_EQ(maintain("web/a").lines.at(0), "web/a is in maintenance already");
  const VerbResult refused = undrain("web/a");
  EXPECT_EQ(refused.outcome, Outcome::kRefused);
  EXPECT_THAT(refused.lines, ElementsAre(HasSubstr("`holdfast enable` ends")));
  EXPECT_EQ(enable("web/a").lines.at(0), "web/a is enabled");
  EXPECT_EQ(shown("a"), kNew);
}

TEST_F(EngineOrdersTest, LogsAFailedPublicationAgainWhenItWasSettledInBetween) {
  const auto logged = [this] {
    return std::ranges::count_if(
        lines, [](const std::string& line) { return line.contains("publication.failed"); });
  };
  begin_up();
  forwarder->refusal = "too little memory";
  change(weight("web/a", 20));
  pass(12s);
  EXPECT_EQ(logged(), 1);
  change(weight("web/a", std::nullopt));  // what is wanted runs
  pass(1s);
  change(weight("web/a", 30));
  EXPECT_EQ(logged(), 2);
}

TEST_F(EngineOrdersTest, WeighsAMemberBeforeTheVerbAnswers) {
  begin_up();
  EXPECT_THAT(change(weight("web/a", 20)).lines,
              ElementsAre("web/a is of weight 20, where the file says 100"));
  EXPECT_EQ(weight_in_force("a"), 20U);
  EXPECT_EQ(view("a").weight, 20U);
  EXPECT_EQ(view("a").file_weight, 100U);
  EXPECT_THAT(change(weight("web/a", 20)).lines, ElementsAre("web/a is of weight 20 already"));
  EXPECT_THAT(change(weight("web/a", std::nullopt)).lines,
              ElementsAre("web/a is of weight 100, as in the file"));
  EXPECT_EQ(weight_in_force("a"), 100U);
  EXPECT_TRUE(view("a").drift.empty());
}

TEST_F(EngineOrdersTest, KeepsWhatWasOrderedOverARestartWithoutAnyStateChange) {
  begin_up();
  change(weight("web/a", 20));
  drain("web/b");
  ASSERT_EQ(maintain("web/b").outcome, Outcome::kOk);
  restart();
  EXPECT_EQ(engine->status().adoption_state_changes, 0U);
  EXPECT_EQ(shown("b"), kKeep);
  EXPECT_EQ(view("b").admin, "maintenance");
  EXPECT_EQ(weight_in_force("a"), 20U);
}

TEST_F(EngineOrdersTest, EndsADrainByTheTermsItWasGiven) {
  begin_up();
  AdminRequest request = asked(AdminVerb::kDrain, "web/a");
  request.deadline = 10s;
  EXPECT_THAT(
      change(request).lines,
      ElementsAre("web/a is draining: established flows live on, after 10s they are reset"));
  request.objects = {"web/b"};
  request.then = config::DrainEnd::kKeep;
  ASSERT_EQ(change(request).outcome, Outcome::kOk);
  pass(9900ms);
  EXPECT_EQ(shown("a"), kKeep);
  pass(400ms);
  EXPECT_EQ(shown("a"), kReset);
  EXPECT_EQ(shown("b"), kKeep);
  EXPECT_EQ(drain("web/a").lines.at(0), "web/a is draining already");
}

TEST_F(EngineOrdersTest, ShortensADrainThatGoesOn) {
  begin_up();
  drain("web/a");
  AdminRequest request = asked(AdminVerb::kDrain, "web/a");
  request.deadline = 1s;
  ASSERT_EQ(change(request).outcome, Outcome::kOk);
  pass(1500ms);
  EXPECT_EQ(shown("a"), kReset);
}

TEST_F(EngineOrdersTest, TellsTheDataplaneWhenADrainEndsSoThatItEndsWithoutControl) {
  begin_up();
  const auto ends = [this](const char* backend) { return forwarder->resets[{"web", backend}]; };
  AdminRequest request = asked(AdminVerb::kDrain, "web/a");
  request.deadline = 10s;
  change(request);
  EXPECT_EQ(ends("a"), 10s);
  request.deadline = 4s;  // the terms alone
  change(request);
  EXPECT_EQ(ends("a"), 4s);
  request.then = config::DrainEnd::kKeep;
  request.objects = {"web/b"};
  change(request);
  EXPECT_EQ(ends("b"), 0s);
  undrain("web/a");
  EXPECT_EQ(ends("a"), 0s);
}

// A dataplane that lost its state with the host knows the disposition, but no deadline.
TEST_F(EngineOrdersTest, GivesAnAdoptedDataplaneTheDeadlinesThatItLacks) {
  begin_up();
  drain("web/a");
  forwarder->resets.clear();
  restart();
  EXPECT_GT(forwarder->resets.at({"web", "a"}), 299s);
  EXPECT_EQ(engine->status().adoption_state_changes, 0U);
}

TEST_F(EngineOrdersTest, RemovesAMemberFromTheGenerationAtItsDeadlineUntilItIsEnabled) {
  begin_up();
  AdminRequest request = asked(AdminVerb::kDrain, "web/a");
  request.deadline = 1s;
  request.then = config::DrainEnd::kRemove;
  ASSERT_EQ(change(request).outcome, Outcome::kOk);
  EXPECT_EQ(weight_in_force("a"), 100U);
  pass(1500ms);
  EXPECT_EQ(weight_in_force("a"), 99'999U);
  EXPECT_EQ(view("a").admin, "removed");
  EXPECT_EQ(view("a").flows, 0U);
  unix_ms += 1500;
  restart();
  EXPECT_EQ(weight_in_force("a"), 99'999U);
  EXPECT_EQ(engine->status().adoption_state_changes, 0U);
  const VerbResult back = enable("web/a");
  EXPECT_EQ(back.outcome, Outcome::kOk);
  EXPECT_THAT(back.lines, ElementsAre("web/a is enabled"));
  EXPECT_EQ(weight_in_force("a"), 100U);
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_THAT(lines, Not(Contains(HasSubstr("dispositions.refused"))));
}

TEST_F(EngineOrdersTest, FallsBackByItselfWhenItsTimeIsOverAlsoWhileControlWasDown) {
  begin_up();
  AdminRequest request = weight("web/a", 20);
  request.ttl = 5s;
  ASSERT_EQ(change(request).outcome, Outcome::kOk);
  request = asked(AdminVerb::kMaintenance, "web/b");
  request.ttl = 60s;
  ASSERT_EQ(change(request).outcome, Outcome::kOk);
  pass(5500ms);
  EXPECT_EQ(weight_in_force("a"), 100U);
  EXPECT_EQ(shown("b"), kKeep);
  EXPECT_EQ(written().orders.size(), 1U);
  EXPECT_THAT(lines, Contains(HasSubstr("event=expired service=web backend=a")));
  unix_ms += 60'000;
  restart();
  EXPECT_EQ(shown("b"), kNew);
  EXPECT_THAT(written().orders, IsEmpty());
}

TEST_F(EngineOrdersTest, ChangesNothingInARehearsal) {
  begin_up();
  AdminRequest request = asked(AdminVerb::kDrain, "node");
  request.objects = {"web/a", "host:10.0.3.12"};
  request.dry_run = true;
  const VerbResult result = change(request);
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_THAT(result.members, ElementsAre("web/a", "web/b"));
  EXPECT_THAT(result.lines.at(1), HasSubstr("web/b would be draining: established"));
  request.objects = {"node"};
  EXPECT_EQ(change(request).outcome, Outcome::kRefused);
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_THAT(written().orders, IsEmpty());
}

TEST_F(EngineOrdersTest, DoesAllOrNothing) {
  begin_up();
  AdminRequest request = asked(AdminVerb::kDrain, "web/a");
  request.objects = {"web/a", "web/nobody", "web/none"};
  const VerbResult unknown = change(request);
  EXPECT_EQ(unknown.outcome, Outcome::kUsage);
  EXPECT_EQ(unknown.lines.size(), 2U);
  request.objects = {"web/a", "web/b", "web/c"};
  EXPECT_EQ(change(request).outcome, Outcome::kRefused);
  EXPECT_EQ(shown("a"), kNew);
  request.force = true;
  const VerbResult forced = change(request);
  EXPECT_EQ(forced.outcome, Outcome::kOk);
  EXPECT_THAT(forced.lines, Contains(HasSubstr("forced: service web would be left with 0 of 3")));
  EXPECT_EQ(shown("c"), kKeep);
  EXPECT_THAT(lines, Contains(HasSubstr("forced=\"service web would be left with 0 of 3")));
}

TEST_F(EngineOrdersTest, RefusesWithTheNumbersWhatWouldLeaveLessThanTheMinCapacity) {
  write(yaml(kThree, "") + "    min_capacity: 60%\n");
  begin_up();
  EXPECT_EQ(drain("web/a").outcome, Outcome::kOk);
  const VerbResult refused = drain("web/b");
  EXPECT_EQ(refused.outcome, Outcome::kRefused);
  EXPECT_THAT(refused.lines,
              ElementsAre("service web would be left with 1 of 3 members that are up, enabled and "
                          "have a weight (weight 100 of 300); its min_capacity is 60%"));
  EXPECT_EQ(change(weight("web/b", 50)).outcome, Outcome::kRefused);
  EXPECT_EQ(change(weight("web/b", 90)).outcome, Outcome::kOk);
}

TEST_F(EngineOrdersTest, CountsMembersTowardsAMinCapacityOfMembers) {
  write(yaml(kThree, "") + "    min_capacity: 2\n");
  begin_up();
  EXPECT_EQ(maintain("web/a").outcome, Outcome::kOk);
  EXPECT_EQ(change(weight("web/b", 1)).outcome, Outcome::kOk);
  EXPECT_EQ(change(weight("web/b", 0)).outcome, Outcome::kRefused);
  EXPECT_EQ(enable("web/a").outcome, Outcome::kOk);
  EXPECT_EQ(change(weight("web/b", 0)).outcome, Outcome::kOk);
}

TEST_F(EngineOrdersTest, ShowsHowLongAMemberIsHeldBackAndEndsThatWhenTold) {
  begin_up();
  const auto clear = [this](const std::string& object) {
    return change(asked(AdminVerb::kClearDamping, object));
  };
  EXPECT_EQ(clear("web/a").lines.at(0), "web/a has no penalty");
  for (int fall = 0; fall < 3; ++fall) {
    prober.dead = {11};
    pass(1s);
    prober.dead = {};
    pass(1s);
  }
  EXPECT_EQ(view("a").health, "damped");
  EXPECT_EQ(shown("a"), kAvoid);
  EXPECT_NEAR(view("a").penalty, 2900, 60);
  EXPECT_NEAR(view("a").held_left_s.value_or(0), 117, 2);
  EXPECT_EQ(clear("web/a").lines.at(0), "web/a is up, without its penalty");
  EXPECT_EQ(view("a").health, "up");
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_EQ(view("a").penalty, 0);
  EXPECT_FALSE(view("a").held_left_s);
}

TEST_F(EngineOrdersTest, SaysWhyAMemberIsWhatItIs) {
  begin_up();
  prober.dead = {12};
  pass(1s);
  const std::optional<WhyView> why = engine->why("web/b");
  ASSERT_TRUE(why);
  EXPECT_EQ(why->backend.health, "down");
  EXPECT_EQ(why->check, "tcp 10.0.3.12:80 every 250ms, timeout 200ms, fall 2, rise 2");
  ASSERT_GT(why->results.size(), 3U);
  EXPECT_EQ(why->results.front().result, "L4 refused");
  EXPECT_EQ(why->results.back().result, "L4 ok");
  EXPECT_FALSE(why->results.front().is_void);
  for (const char* nobody : {"web/x", "x/b", "web", "", "/", "web/b/c"}) {
    EXPECT_FALSE(engine->why(nobody)) << nobody;
  }
}

TEST_F(EngineOrdersTest, ShowsItsOrdersAsDriftAgainstTheFile) {
  begin_up();
  drain("web/a");
  pass(2s);
  const std::vector<DriftView> drift = view("a").drift;
  ASSERT_EQ(drift.size(), 1U);
  EXPECT_EQ(drift[0].what, "draining");
  EXPECT_EQ(drift[0].file, "enabled");
  EXPECT_EQ(drift[0].who, "uid=0(root)");
  EXPECT_EQ(drift[0].reason, "kernel");
  EXPECT_EQ(drift[0].then, "reset");
  EXPECT_DOUBLE_EQ(drift[0].deadline_s.value_or(0), 298);
  EXPECT_FALSE(drift[0].expires_s);
  EXPECT_THAT(engine->status().notices,
              Contains("drift: web/a: draining by uid=0(root) (kernel), the file says enabled"));
}

TEST_F(EngineOrdersTest, EstimatesTheEndOfADrainButNotBeyondItsDeadline) {
  begin_up();
  seam::MemberCounters& counters = *forwarder->counters_reply.add_members();
  counters.mutable_ref()->set_service("web");
  counters.mutable_ref()->set_backend("a");
  counters.set_flows(1000);
  drain("web/a");
  pass(5s);
  EXPECT_FALSE(view("a").drain_estimate_s);
  counters.set_flows(900);
  pass(5s);
  ASSERT_TRUE(view("a").drain_estimate_s);
  EXPECT_NEAR(*view("a").drain_estimate_s, 290, 1);  // by the rate alone 700 s
  undrain("web/a");
  pass(500ms);
  EXPECT_FALSE(view("a").drain_estimate_s);
}

TEST_F(EngineOrdersTest, WritesTheJournalAnewWhenItHasGrownLong) {
  begin_up();
  for (std::uint32_t i = 0; i < 600; ++i) {
    ASSERT_EQ(change(weight("web/a", i % 50 + 1)).outcome, Outcome::kOk);
  }
  EXPECT_LT(written().lines, 1'010U);
  EXPECT_EQ(written().orders.at({"web", "a"}).weight->weight, 50U);
}

TEST_F(EngineOrdersTest, FindsTheMembersOfATierAndOfTheNode) {
  write(
      yaml(member("a", 11) + ", " + member("b", 12) + ", {name: c, address: 10.0.3.13, tier: 1}"));
  begin_up();
  AdminRequest request = asked(AdminVerb::kDrain, "tier:web/1");
  request.dry_run = true;
  EXPECT_THAT(change(request).members, ElementsAre("web/c"));
  request.objects = {"tier:web/2"};
  EXPECT_EQ(change(request).outcome, Outcome::kUsage);
  request.objects = {"node", "web/a"};
  request.force = true;
  EXPECT_THAT(change(request).members, ElementsAre("web/a", "web/b", "web/c"));
}

}  // namespace
}  // namespace holdfast::control
