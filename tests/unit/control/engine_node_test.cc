// SPDX-License-Identifier: Apache-2.0
// What the node as a whole is told: the newest word holds, over restarts of either process.
#include "control/admin/readiness.h"
#include "control/engine/node_order.h"
#include "tests/unit/control/engine_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using dataplane::Role;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EngineNodeTest : public EngineTest {
 protected:
  EngineNodeTest() { write(yaml(kThree, "pair: {start: standby}\nroutes: {}\n")); }

  void begin_paired(Role running = Role::kStandby) {
    begin();
    forwarder->role = running;
    forwarder->connect();
    pass(600ms);
  }
  VerbResult order(NodeVerb verb) {
    return get(engine->order_node({verb, {.who = "uid=0(root)", .reason = "keepalived"}}));
  }
};

TEST_F(EngineNodeTest, TellsTheDataplaneAtOnceAndAgainWithoutHarm) {
  begin_paired();
  EXPECT_THAT(forwarder->roles, IsEmpty());
  const VerbResult active = order(NodeVerb::kActive);
  EXPECT_EQ(active.outcome, Outcome::kOk);
  EXPECT_THAT(active.lines, ElementsAre(HasSubstr("the node is active")));
  EXPECT_EQ(order(NodeVerb::kActive).outcome, Outcome::kOk);
  EXPECT_EQ(order(NodeVerb::kStandby).lines.at(0), "the node is on standby: it answers for no VIP");
  EXPECT_THAT(forwarder->roles, ElementsAre(Role::kActive, Role::kActive, Role::kStandby));
}

TEST_F(EngineNodeTest, LeavesTheRoleAloneWhenControlIsStartedAgain) {
  begin_paired();
  order(NodeVerb::kActive);
  restart();
  EXPECT_THAT(forwarder->roles, IsEmpty());
  EXPECT_EQ(forwarder->role, Role::kActive);
}

TEST_F(EngineNodeTest, TellsADataplaneThatCameBackWhatItIs) {
  begin_paired();
  order(NodeVerb::kActive);
  forwarder->disconnect();
  run();
  forwarder->role = Role::kStandby;  // a new one, as it begins
  forwarder->connect();
  run();
  EXPECT_EQ(forwarder->role, Role::kActive);
}

TEST_F(EngineNodeTest, RemembersAnOrderThatTheDataplaneWasNotThereFor) {
  begin_paired(Role::kActive);
  forwarder->disconnect();
  run();
  const VerbResult later = order(NodeVerb::kStandby);
  EXPECT_EQ(later.outcome, Outcome::kUnreachable);
  EXPECT_THAT(later.lines, ElementsAre(HasSubstr("takes effect when the dataplane is connected")));
  forwarder->connect();
  run();
  EXPECT_EQ(forwarder->role, Role::kStandby);
}

TEST_F(EngineNodeTest, WithdrawsEveryRouteWhileItIsDrainedAndIsNotReady) {
  begin_paired(Role::kActive);
  ASSERT_THAT(forwarder->routes.back(), SizeIs(1));
  EXPECT_THAT(order(NodeVerb::kDrain).lines, ElementsAre("the node is drained"));
  EXPECT_THAT(forwarder->routes.back(), IsEmpty());
  EXPECT_EQ(shown("a"), kNew);
  const StatusView status = engine->status();
  EXPECT_THAT(not_ready(status, engine->services()),
              Contains("the node is drained by uid=0(root) (keepalived)"));
  EXPECT_THAT(status.notices, Contains(HasSubstr("until `holdfast node undrain`")));
  EXPECT_THAT(order(NodeVerb::kDrain).lines, ElementsAre("the node is drained already"));
  pass(2s);
  EXPECT_THAT(forwarder->routes.back(), IsEmpty());
  EXPECT_THAT(order(NodeVerb::kUndrain).lines, ElementsAre("the node is not drained any more"));
  EXPECT_THAT(forwarder->routes.back(), SizeIs(1));
  EXPECT_THAT(order(NodeVerb::kUndrain).lines, ElementsAre("the node is not drained"));
}

TEST_F(EngineNodeTest, IsStillDrainedAfterARestartOfControl) {
  begin_paired(Role::kActive);
  order(NodeVerb::kDrain);
  stop();
  const auto kept =
      read_node_order(read_whole(directory.file("node"), 10'000).value().value_or("")).value();
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->who, "uid=0(root)");
  EXPECT_EQ(kept->reason, "keepalived");
  drained = kept;
  begin_paired(Role::kActive);
  EXPECT_THAT(forwarder->routes.back(), IsEmpty());
  EXPECT_EQ(order(NodeVerb::kUndrain).outcome, Outcome::kOk);
  EXPECT_EQ(read_whole(directory.file("node"), 10'000).value().value_or("x"), "");
}

TEST_F(EngineNodeTest, DrainsWithoutADataplaneAndSaysThatItTakesEffectLater) {
  begin();
  const VerbResult later = order(NodeVerb::kDrain);
  EXPECT_EQ(later.outcome, Outcome::kUnreachable);
  EXPECT_THAT(later.lines, Contains(HasSubstr("takes effect when the dataplane is connected")));
  forwarder->connect();
  pass(600ms);
  EXPECT_THAT(forwarder->routes.back(), IsEmpty());
}

TEST(NodeOrder, IsReadAsItWasWrittenAndRefusedWhereItIsNone) {
  EXPECT_EQ(node_order_text(std::nullopt), "");
  EXPECT_EQ(read_node_order("").value(), std::nullopt);
  const OrderStamp stamp{.since_unix_ms = 1'700'000'000'000, .who = "a\nb", .reason = "\"q\""};
  EXPECT_EQ(read_node_order(node_order_text(stamp)).value(), stamp);
  for (const char* text : {"x",
                           "{}",
                           "[]",
                           R"({"drained_since_unix_ms": "1"})",
                           R"({"drained_since_unix_ms": 1, "who": 2, "reason": ""})"}) {
    EXPECT_FALSE(read_node_order(text).has_value()) << text;
  }
}

TEST_F(EngineNodeTest, IsActiveWhereItIsAlone) {
  write(yaml(kThree));
  begin_up();
  const VerbResult refused = order(NodeVerb::kStandby);
  EXPECT_EQ(refused.outcome, Outcome::kRefused);
  EXPECT_THAT(refused.lines, ElementsAre(HasSubstr("no 'pair' in the configuration")));
}

}  // namespace
}  // namespace holdfast::control
