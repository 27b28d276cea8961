// SPDX-License-Identifier: Apache-2.0
// A reload that takes much away at once is refused, unless its file says that this is meant.
#include "dataplane/api/codec.h"
#include "tests/unit/control/engine_fixture.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kAllowed = "control: {allow_large_change: true}\n";

std::string with_vip(std::string text, const std::string& vips) {
  return text.replace(text.find("203.0.113.10"), 12, vips);
}

class LargeChangeTest : public EngineTest {
 protected:
  // The dataplane counts that many flows of web/a.
  void count_flows(std::uint64_t flows) {
    seam::MemberCounters& member = *forwarder->counters_reply.add_members();
    member.mutable_ref()->set_service("web");
    member.mutable_ref()->set_backend("a");
    member.mutable_ref()->set_address(seam::to_wire(*dataplane::Address::parse("10.0.3.11")));
    member.set_flows(flows);
    pass(600ms);
  }
};

TEST_F(LargeChangeTest, ThatTakesMoreThanHalfOfTheBackendsIsRefused) {
  begin_up();
  write(yaml(member("a", 11) + ", " + member("d", 14)));
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kRefused);
  EXPECT_THAT(
      result.lines,
      ElementsAre("service web would lose 2 of its 3 backends: refused unless the file says "
                  "control.allow_large_change: true"));
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(LargeChangeTest, ThatTakesHalfOrMovesEveryBackendIsNone) {
  write(yaml(member("a", 11) + ", " + member("b", 12)));
  begin_up();
  write(yaml(member("a", 11)));
  EXPECT_EQ(reload().outcome, Outcome::kOk);
  write(yaml(member("a", 99)));
  EXPECT_EQ(reload().outcome, Outcome::kOk);
}

TEST_F(LargeChangeTest, ThatTakesAVipWithFlowsIsRefused) {
  begin_up();
  count_flows(7);
  write(with_vip(yaml(kThree), "203.0.113.11"));
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kRefused);
  EXPECT_THAT(
      result.lines,
      ElementsAre(HasSubstr("service web has 7 flows and would lose its VIP 203.0.113.10")));
  write(with_vip(yaml(kThree), "203.0.113.10, 203.0.113.11"));
  EXPECT_EQ(reload().outcome, Outcome::kOk) << "one more takes nothing away";
}

TEST_F(LargeChangeTest, ThatTakesAVipWithoutFlowsIsNone) {
  begin_up();
  count_flows(0);
  write(with_vip(yaml(kThree), "203.0.113.11"));
  EXPECT_EQ(reload().outcome, Outcome::kOk);
}

TEST_F(LargeChangeTest, ThatTakesAVipWhileFlowsCannotBeCountedIsRefused) {
  begin_up();
  forwarder->disconnect();
  write(with_vip(yaml(kThree), "203.0.113.11"));
  EXPECT_THAT(reload().lines, ElementsAre(HasSubstr("may have flows")));
}

TEST_F(LargeChangeTest, IsDoneWhereTheFileSaysSo) {
  begin_up();
  count_flows(7);
  write(with_vip(yaml(member("z", 99), kAllowed), "203.0.113.11"));
  EXPECT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_EQ(engine->backends().size(), 1U);
  write(with_vip(yaml(member("y", 98)), "203.0.113.11"));
  EXPECT_EQ(reload().outcome, Outcome::kRefused) << "the next file speaks for itself";
}

TEST_F(LargeChangeTest, ThatRenamesAServiceWithFlowsIsRefused) {
  begin_up();
  count_flows(7);
  std::string text = yaml(kThree);
  write(text.replace(text.find("name: web"), 9, "name: www"));
  EXPECT_THAT(reload().lines, ElementsAre(HasSubstr("service web has 7 flows and would be taken")));
}

TEST_F(LargeChangeTest, OfAVipIsNotDoneLaterWhenTheFlowsHaveEnded) {
  begin_up();
  count_flows(7);
  stop();
  write(with_vip(yaml(kThree), "203.0.113.11"));
  begin();
  forwarder->counters_reply = dataplane->counters_reply;
  forwarder->connect();
  pass(1s);
  EXPECT_THAT(engine->status().not_in_force, HasSubstr("has 7 flows"));
  forwarder->counters_reply.mutable_members(0)->set_flows(0);
  pass(20s);
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(reload().outcome, Outcome::kOk) << "who asks now, means it";
}

TEST_F(LargeChangeTest, FoundAtControlsStartIsShownAndNotDone) {
  begin_up();
  stop();
  write(yaml(member("d", 14)));
  begin();
  forwarder->connect();
  pass(1s);
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_THAT(engine->status().not_in_force, HasSubstr("would lose 3 of its 3 backends"));
}

}  // namespace
}  // namespace holdfast::control
