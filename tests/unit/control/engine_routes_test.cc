// SPDX-License-Identifier: Apache-2.0
// Which VIPs have a route: as many backends as `announce` asks for, told at once, over restarts of
// either process.
#include "control/publish/build.h"
#include "tests/unit/control/engine_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using dataplane::VipPrefix;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EngineRoutesTest : public EngineTest {
 protected:
  EngineRoutesTest() { write(with_routes("announce: {healthy: 2}")); }

  static std::string with_routes(const std::string& announce) {
    return yaml(kThree, "routes: {device: holdfast}\n") + "    " + announce + "\n";
  }
  std::vector<VipPrefix> routed() const {
    return forwarder->routes.empty() ? std::vector<VipPrefix>() : forwarder->routes.back();
  }
  const VipPrefix vip = vip_prefix({{.v6 = false, .bytes = {203, 0, 113, 10}}, 32});
};

TEST_F(EngineRoutesTest, OffersAVipOnceEnoughBackendsTakeNewFlows) {
  prober.dead = {12, 13};
  begin_up();
  EXPECT_THAT(routed(), IsEmpty());
  EXPECT_THAT(engine->status().notices,
              Contains(HasSubstr("no route to 203.0.113.10: service web has 1 backends that take "
                                 "new flows for it, announce.healthy is 2")));
  prober.dead = {13};
  pass(1s);
  EXPECT_THAT(routed(), ElementsAre(vip));
}

TEST_F(EngineRoutesTest, WithdrawsItInTheMomentOfTheVerdictNotWithTheNextTick) {
  begin_up();
  ASSERT_THAT(routed(), ElementsAre(vip));
  prober.dead = {11, 12};
  while (view("a").health != "down" || view("b").health != "down") {
    pass(10ms);
  }
  EXPECT_THAT(routed(), IsEmpty());
}

TEST_F(EngineRoutesTest, SaysItOnceAndAgainToADataplaneThatCameBack) {
  begin_up();
  const std::size_t told = forwarder->routes.size();
  pass(5s);
  EXPECT_EQ(forwarder->routes.size(), told);
  forwarder->disconnect();
  run();
  forwarder->connect();
  run();
  EXPECT_EQ(forwarder->routes.size(), told + 1);
  EXPECT_THAT(routed(), ElementsAre(vip));
}

TEST_F(EngineRoutesTest, LeavesTheRoutesAloneUntilItKnowsWhatTheDataplaneRuns) {
  begin_up();
  stop();
  begin();
  pass(3s);
  EXPECT_THAT(forwarder->routes, IsEmpty());
  forwarder->connect();
  run();
  EXPECT_THAT(forwarder->routes, ElementsAre(ElementsAre(vip)));
}

TEST_F(EngineRoutesTest, WithdrawsThemWithADrainThatLeavesTooFew) {
  begin_up();
  AdminRequest request = asked(AdminVerb::kDrain, "node");
  request.force = true;
  EXPECT_EQ(change(request).outcome, Outcome::kOk);
  EXPECT_THAT(routed(), IsEmpty());
  EXPECT_EQ(undrain("node").outcome, Outcome::kOk);
  EXPECT_THAT(routed(), ElementsAre(vip));
}

TEST_F(EngineRoutesTest, FollowsAReloadThatAsksForMore) {
  begin_up();
  write(with_routes("announce: {healthy: 4}"));
  EXPECT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_THAT(routed(), IsEmpty());
}

TEST_F(EngineRoutesTest, TriesAgainWhatTheDataplaneRefused) {
  begin();
  forwarder->routes_failure = "cannot make the route to 203.0.113.10";
  forwarder->connect();
  pass(1s);
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("cannot make the route")));
  forwarder->routes_failure.clear();
  pass(300ms);
  EXPECT_THAT(routed(), ElementsAre(vip));
}

TEST_F(EngineRoutesTest, TellsNothingWhereNoRoutesAreAskedFor) {
  write(yaml(kThree));
  begin_up();
  EXPECT_THAT(forwarder->routes, IsEmpty());
}

}  // namespace
}  // namespace holdfast::control
