// SPDX-License-Identifier: Apache-2.0
// Every event that can move flows becomes an entry of the ledger, with who, why and what moved.
#include "tests/unit/control/engine_fixture.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EngineLedgerTest : public EngineTest {
 protected:
  std::vector<EventView> events() { return get(engine->events(0, 0, 0ms)).events; }
  // In the order in which they were opened.
  std::vector<std::string> kinds() {
    std::vector<EventView> all = events();
    std::ranges::sort(all, {}, &EventView::number);
    std::vector<std::string> names;
    for (const EventView& one : all) {
      names.push_back(one.kind);
    }
    return names;
  }
  EventView newest() {
    const std::vector<EventView> all = events();
    const auto found = std::ranges::max_element(all, {}, &EventView::number);
    return found == all.end() ? EventView() : *found;
  }
  // What the dataplane will say it has counted of service web.
  void counts(std::uint64_t moved, std::uint64_t reset) {
    forwarder->counters_reply.clear_moves();
    seam::ServiceMoves& moves = *forwarder->counters_reply.add_moves();
    moves.set_service("web");
    moves.set_reset(reset);
    seam::NamedValue& cause = *moves.add_moved();
    cause.set_name("reset");
    cause.set_value(moved);
  }
};

TEST_F(EngineLedgerTest, HasAdoptionAndReloads) {
  begin_up();
  EXPECT_THAT(kinds(), ElementsAre("adopted", "reload"));
  write(yaml(kThree + ", " + member("d", 14)));
  ASSERT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_EQ(newest().kind, "reload");
  EXPECT_EQ(newest().object, "revision 2");
  EXPECT_EQ(newest().who, "test");
  ASSERT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_EQ(newest().object, "revision 2") << "an unchanged file moves nothing";
}

TEST_F(EngineLedgerTest, HasVerbsWithWhoAndWhy) {
  begin_up();
  ASSERT_EQ(drain("web/a").outcome, Outcome::kOk);
  EXPECT_EQ(newest().kind, "drain");
  EXPECT_EQ(newest().object, "web/a");
  EXPECT_EQ(newest().who, "uid=0(root)");
  EXPECT_EQ(newest().reason, "kernel");
  ASSERT_EQ(undrain("web/a").outcome, Outcome::kOk);
  EXPECT_EQ(newest().kind, "undrain");
}

TEST_F(EngineLedgerTest, HasMembersThatFallAndComeBack) {
  begin_up();
  prober.dead = {11};
  pass(1'000ms);
  EXPECT_EQ(newest().kind, "member_down");
  EXPECT_EQ(newest().object, "web/a");
  EXPECT_THAT(newest().reason, HasSubstr("L4 refused"));
  prober.dead = {};
  pass(1'000ms);
  EXPECT_EQ(newest().kind, "member_up");
}

TEST_F(EngineLedgerTest, TellsWhatMovedSinceAnEvent) {
  begin_up();
  counts(5, 0);
  pass(300ms);
  ASSERT_EQ(drain("web/a").outcome, Outcome::kOk);
  EXPECT_TRUE(newest().services.empty());
  counts(7, 3);
  pass(300ms);
  ASSERT_EQ(newest().services.size(), 1U);
  EXPECT_EQ(newest().services[0].service, "web");
  EXPECT_EQ(newest().services[0].moves.reset, 3U);
  ASSERT_EQ(newest().services[0].moves.moved.size(), 1U);
  EXPECT_EQ(newest().services[0].moves.moved[0].name, "reset");
  EXPECT_EQ(newest().services[0].moves.moved[0].value, 2U);
  EXPECT_FALSE(newest().settled);
  pass(11'000ms);
  EXPECT_TRUE(newest().settled);
}

TEST_F(EngineLedgerTest, HasTheDataplanesDeathAndWhatItsSuccessorForgot) {
  begin_up();
  forwarder->hello_reply.set_pid(1);
  forwarder->disconnect();
  forwarder->connect();
  run();
  forwarder->hello_reply.set_pid(2);
  forwarder->hello_reply.set_flows_kept(90);
  forwarder->hello_reply.set_flows_forgotten(10);
  forwarder->disconnect();
  forwarder->connect();
  run();
  EXPECT_THAT(kinds(), Contains("dataplane_lost").Times(2));
  EXPECT_THAT(kinds(), Contains("dataplane_started").Times(1));
  const std::vector<EventView> all = events();
  const auto started = std::ranges::find(all, "dataplane_started", &EventView::kind);
  ASSERT_NE(started, all.end());
  EXPECT_EQ(started->forgotten, 10U);
  EXPECT_EQ(started->reason, "90 flows kept, 10 forgotten");
}

TEST_F(EngineLedgerTest, HasADrainsDeadlineOnceWhoeverSawIt) {
  begin_up();
  AdminRequest request = asked(AdminVerb::kDrain, "web/a");
  request.deadline = 1'000ms;
  ASSERT_EQ(change(request).outcome, Outcome::kOk);
  pass(1'500ms);
  EXPECT_EQ(newest().kind, "drain_deadline");
  EXPECT_EQ(newest().object, "web/a");
  EXPECT_THAT(kinds(), Contains("drain_deadline").Times(1));
}

TEST_F(EngineLedgerTest, AReaderWaitsForTheNextChangeAndNoLonger) {
  begin_up();
  const EventsView before = get(engine->events(0, 0, 0ms));
  std::optional<EventsView> next;
  boost::asio::co_spawn(context,
                        engine->events(before.life, before.change, 5'000ms),
                        [&](const std::exception_ptr&, EventsView view) { next = view; });
  run();
  EXPECT_FALSE(next.has_value());
  ASSERT_EQ(drain("web/a").outcome, Outcome::kOk);
  run();
  ASSERT_TRUE(next.has_value());
  ASSERT_EQ(next->events.size(), 1U);
  EXPECT_EQ(next->events[0].kind, "drain");
  EXPECT_FALSE(next->gap);
  const EventsView of_another_life = get(engine->events(before.life + 1, 9'999, 0ms));
  EXPECT_TRUE(of_another_life.gap);
  EXPECT_GE(of_another_life.events.size(), 3U);
}

}  // namespace
}  // namespace holdfast::control
