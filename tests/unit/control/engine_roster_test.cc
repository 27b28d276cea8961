// SPDX-License-Identifier: Apache-2.0
// The roster: what a reload keeps, what an adoption takes over, what time does.
#include "control/engine/roster.h"
#include "control/publish/build.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;

using enum Disposition;

config::Backend backend(const std::string& name, std::uint8_t last) {
  config::Backend result;
  result.name = name;
  result.address.bytes = {10, 0, 3, last};
  result.port = 8080;
  return result;
}

config::Config sample() {
  config::Config config;
  for (const char* name : {"web", "dsr"}) {
    config::Service service;
    service.name = name;
    service.check.fall = 2;
    service.check.rise = 2;
    service.ports = {{.protocol = config::Protocol::kTcp, .first = 80, .last = 80, .place = {}}};
    service.backends = {backend("a", 11), backend("b", 12), backend("c", 13)};
    config.services.push_back(service);
  }
  return config;
}

class RosterTest : public ::testing::Test {
 protected:
  Instant now() const {
    return {Clock::TimePoint(1h) + passed, 1'000'000 + (passed + wall_jump) / 1ms};
  }
  CheckSpec check(const std::string& name) const {
    return *roster.at(*roster.find({"web", name})).check;
  }
  Roster::Outcome report(const std::string& name, Reason reason) {
    return roster.apply(check(name), {.layer = Layer::kL4, .reason = reason}, now());
  }
  // Until it is down.
  void refuse(const std::string& name) {
    report(name, Reason::kRefused);
    report(name, Reason::kRefused);
  }
  void all_up() {
    for (const char* name : {"a", "b", "c"}) {
      report(name, Reason::kOk);
    }
  }
  Disposition disposition(const std::string& service, const std::string& name) const {
    return roster.at(*roster.find({service, name})).decision.disposition;
  }
  // A drain that began then, by the service's own rule.
  MemberOrders drained(std::int64_t since_unix_ms) const {
    StateOrder order;
    order.stamp.since_unix_ms = since_unix_ms;
    order.drain = config.services[0].drain;
    return {.state = order, .weight = {}};
  }
  void drain(MemberPlace place) {
    roster.apply(place, {AdminEvent::kDrain, drained(now().unix_ms), "drain"}, now());
  }
  RunningState running() const {
    RunningState state;
    state.generation = build_generation(config, roster.decisions(), 5);
    for (const dataplane::ServiceSpec& service : state.generation.services) {
      for (const dataplane::MemberSpec& member : service.members) {
        state.members.push_back({.service = service.name,
                                 .backend = member.backend,
                                 .address = member.address,
                                 .port = member.port,
                                 .disposition = member.disposition});
      }
    }
    return state;
  }
  void reload(const Orders& orders = {}) {
    roster = Roster(config, roster, orders, now());
    roster.settle("reload", now());
  }

  config::Config config = sample();
  std::chrono::nanoseconds passed{0};
  std::chrono::nanoseconds wall_jump{0};
  Roster roster{config, {}, {}, {Clock::TimePoint(1h), 1'000'000}};
};

TEST_F(RosterTest, GivesOneResultToEveryServiceThatStandsOnTheCheck) {
  EXPECT_EQ(roster.checks().size(), 3U);
  const auto outcome = report("a", Reason::kOk);
  ASSERT_EQ(outcome.changes.size(), 2U);
  EXPECT_EQ(outcome.changes[0].cause, "L4 ok");
  EXPECT_EQ(disposition("web", "a"), kNew);
  EXPECT_EQ(disposition("dsr", "a"), kNew);
  EXPECT_EQ(roster.check(check("a"))->passed, 1U);
}

TEST_F(RosterTest, AvoidsASuspectAtOnceAndTakesItDownAtTheConfirmation) {
  all_up();
  const auto first = report("b", Reason::kRefused);
  EXPECT_TRUE(first.confirm);
  ASSERT_EQ(first.changes.size(), 2U);
  EXPECT_EQ(first.changes[0].after.disposition, kAvoid);
  EXPECT_EQ(health_name(first.changes[0].after.health), "up");
  const auto second = report("b", Reason::kRefused);
  EXPECT_FALSE(second.confirm);
  EXPECT_EQ(second.changes[0].cause, "L4 refused, 2 in a row");
  EXPECT_EQ(second.changes[0].after.health, Health::kDown);
}

TEST_F(RosterTest, UsesAllDeadMembersAsTheLastResortAndSaysWhy) {
  all_up();
  for (const char* name : {"a", "b"}) {
    report(name, Reason::kRefused);
    report(name, Reason::kRefused);
  }
  EXPECT_EQ(disposition("web", "a"), kAvoid);
  report("c", Reason::kRefused);
  const auto outcome = report("c", Reason::kRefused);
  EXPECT_EQ(disposition("web", "a"), kNew);
  EXPECT_EQ(outcome.changes[0].cause, "last resort: no member is up");
  EXPECT_TRUE(roster.services()[0].last_resort);
  report("a", Reason::kOk);
  report("a", Reason::kOk);
  EXPECT_EQ(disposition("web", "b"), kAvoid);
}

TEST_F(RosterTest, TellsWhatItsServiceWantsForTheFlowsOfAMemberThatIsDown) {
  using config::OnDown;
  all_up();
  const auto down_with = [&](OnDown wanted, config::Mode mode, bool udp) {
    config.services[0].on_down = wanted;
    config.services[0].mode = mode;
    config.services[0].ports[0].protocol = udp ? config::Protocol::kUdp : config::Protocol::kTcp;
    reload();
    return disposition("web", "b");
  };
  report("b", Reason::kRefused);
  EXPECT_EQ(down_with(OnDown::kReset, config::Mode::kDsr, false), kAvoid) << "suspect";
  report("b", Reason::kRefused);
  EXPECT_EQ(disposition("web", "b"), kAvoid) << "our own path may be what is down";
  EXPECT_TRUE(report("b", Reason::kRefused).changes.empty());
  passed += 1ms;
  EXPECT_TRUE(report("a", Reason::kOk).changes.empty());
  EXPECT_EQ(disposition("web", "b"), kAvoid) << "b's next probe may pass as well";
  passed += 1ms;
  EXPECT_EQ(report("b", Reason::kRefused).changes.at(0).cause, "fails while others answer");
  EXPECT_EQ(disposition("web", "b"), kReset);
  EXPECT_EQ(down_with(OnDown::kByProtocol, config::Mode::kDsr, false), kAvoid);
  EXPECT_EQ(down_with(OnDown::kByProtocol, config::Mode::kDsr, true), kRehashDatagrams);
  EXPECT_EQ(down_with(OnDown::kKeep, config::Mode::kDsr, true), kAvoid);
  EXPECT_EQ(down_with(OnDown::kRehash, config::Mode::kNat, false), kReset);
  EXPECT_EQ(down_with(OnDown::kRehash, config::Mode::kDsr, false), kRehash);
  EXPECT_EQ(disposition("web", "a"), kNew);
  drain(*roster.find({"web", "b"}));
  EXPECT_EQ(disposition("web", "b"), kRehash) << "its flows go also while it drains";
  report("b", Reason::kOk);
  report("b", Reason::kOk);
  EXPECT_EQ(disposition("web", "b"), kKeep);
}

TEST_F(RosterTest, TakesAMemberForDownThatTheFormerControlHadSetSo) {
  for (const config::OnDown wanted : {config::OnDown::kReset, config::OnDown::kRehash}) {
    config.services[0].on_down = wanted;
    config.services[0].mode = config::Mode::kDsr;
    reload();
    all_up();
    refuse("b");
    report("c", Reason::kOk);
    passed += 1ms;
    report("b", Reason::kRefused);
    const RunningState state = running();
    Roster fresh(config, {}, {}, now());
    fresh.adopt(state, now());
    EXPECT_TRUE(fresh.settle("adopted", now()).changes.empty());
    EXPECT_EQ(fresh.at(*fresh.find({"web", "b"})).judgement.health, Health::kDown);
    report("b", Reason::kOk);
    report("b", Reason::kOk);
  }
}

TEST_F(RosterTest, ResetsNothingWhenItsOwnPathIsBackBeforeTheNextProbe) {
  config.services[0].on_down = config::OnDown::kReset;
  reload();
  all_up();
  refuse("b");
  report("c", Reason::kOk);
  // A probe that began before c answered proves nothing, one that passes neither.
  passed += 10ms;
  roster.apply(
      check("b"), {.layer = Layer::kL4, .reason = Reason::kTimeout, .duration = 200ms}, now());
  EXPECT_EQ(disposition("web", "b"), kAvoid);
  report("b", Reason::kOk);
  report("b", Reason::kOk);
  EXPECT_EQ(disposition("web", "b"), kNew);
}

TEST_F(RosterTest, TakesAMemberOutOfTheTableAfterTenSecondsAndBackWhenItRecovers) {
  all_up();
  report("b", Reason::kRefused);
  report("b", Reason::kRefused);
  passed = 9s;
  EXPECT_FALSE(roster.tick(now()).weights_changed);
  passed = 10s;
  EXPECT_TRUE(roster.tick(now()).weights_changed);
  EXPECT_EQ(roster.decisions()[0].members[1].weight, 0U);
  EXPECT_FALSE(roster.tick(now()).weights_changed);
  report("b", Reason::kOk);
  EXPECT_TRUE(report("b", Reason::kOk).weights_changed);
  EXPECT_EQ(roster.decisions()[0].members[1].weight, 100U);
}

TEST_F(RosterTest, SuspectsAMemberThatItsTrafficAccusesUntilItsCheckPasses) {
  all_up();
  const MemberPlace place = *roster.find({"web", "b"});
  const auto accused = roster.suspect(place, "refuses its traffic", now());
  EXPECT_TRUE(accused.confirm);
  ASSERT_EQ(accused.changes.size(), 1U);
  EXPECT_EQ(accused.changes[0].after.disposition, kAvoid);
  EXPECT_EQ(accused.changes[0].cause, "refuses its traffic");
  EXPECT_TRUE(roster.suspect(place, "refuses its traffic", now()).changes.empty());
  passed += 10ms;
  // The probe that was under way says nothing.
  roster.apply(check("b"), {.layer = Layer::kL4, .reason = Reason::kOk, .duration = 20ms}, now());
  EXPECT_EQ(disposition("web", "b"), kAvoid);
  report("b", Reason::kOk);
  EXPECT_EQ(disposition("web", "b"), kNew);
  EXPECT_FALSE(roster.suspect(place, "refuses its traffic", now()).confirm);
  passed += 1s;
  EXPECT_TRUE(roster.suspect(place, "refuses its traffic", now()).confirm);
  refuse("b");
  EXPECT_EQ(roster.at(place).judgement.health, Health::kDown);
}

TEST_F(RosterTest, BelievesNoTrafficAboutMembersThatNoCheckAsksOrThatAreNotUp) {
  config.services[1].has_check = false;
  reload();
  EXPECT_FALSE(roster.suspect(*roster.find({"web", "a"}), "x", now()).confirm);
  all_up();
  EXPECT_FALSE(roster.suspect(*roster.find({"dsr", "a"}), "x", now()).confirm);
  refuse("b");
  EXPECT_FALSE(roster.suspect(*roster.find({"web", "b"}), "x", now()).confirm);
}

TEST_F(RosterTest, HoldsBackAMemberThatFallsAgainAndAgain) {
  all_up();
  const auto rise = [this] {
    report("b", Reason::kOk);
    return report("b", Reason::kOk);
  };
  for (int fall = 0; fall < 3; ++fall) {
    refuse("b");
    passed += 10s;
    EXPECT_EQ(rise().changes.at(0).after.health, Health::kUp) << fall;
    passed += 10s;
  }
  refuse("b");
  const auto held = rise();
  EXPECT_EQ(held.changes.at(0).after.health, Health::kDamped);
  EXPECT_EQ(held.changes.at(0).after.disposition, kAvoid);
  EXPECT_EQ(held.changes.at(0).cause,
            "L4 ok, 2 in a row, but it fell too often: penalty 2924, held back for 118s");
  EXPECT_EQ(disposition("dsr", "b"), kAvoid);
  reload();
  passed += 117s;
  EXPECT_TRUE(report("b", Reason::kOk).changes.empty());
  passed += 1s;
  EXPECT_EQ(report("b", Reason::kOk).changes.at(0).after.disposition, kNew);
}

TEST_F(RosterTest, ForgetsFallsWhereThereIsNoDamping) {
  config.services[0].damping = std::nullopt;
  reload();
  all_up();
  for (int fall = 0; fall < 20; ++fall) {
    refuse("b");
    report("b", Reason::kOk);
    report("b", Reason::kOk);
  }
  EXPECT_EQ(disposition("web", "b"), kNew);
  EXPECT_EQ(disposition("dsr", "b"), kAvoid);
}

TEST_F(RosterTest, TakesADampedMemberUpWhenItsPenaltyIsCleared) {
  all_up();
  for (int fall = 0; fall < 3; ++fall) {
    refuse("b");
    report("b", Reason::kOk);
    report("b", Reason::kOk);
  }
  const MemberPlace place = *roster.find({"web", "b"});
  ASSERT_EQ(roster.at(place).judgement.health, Health::kDamped);
  Roster::Order order{
      .event = std::nullopt, .orders = {}, .cause = "clear-damping", .clears_penalty = true};
  const auto outcome = roster.apply(place, order, now());
  EXPECT_EQ(outcome.changes.at(0).after.health, Health::kUp);
  EXPECT_EQ(disposition("web", "b"), kNew);
  EXPECT_EQ(disposition("dsr", "b"), kAvoid);
  EXPECT_EQ(roster.at(place).penalty, Penalty());
}

TEST_F(RosterTest, UsesDampedMembersBeforeAllTheDead) {
  all_up();
  for (int fall = 0; fall < 3; ++fall) {
    refuse("b");
    report("b", Reason::kOk);
    report("b", Reason::kOk);
  }
  refuse("a");
  EXPECT_EQ(disposition("web", "b"), kAvoid);
  refuse("c");
  EXPECT_EQ(disposition("web", "b"), kNew);
  EXPECT_EQ(disposition("web", "a"), kAvoid);
  EXPECT_EQ(disposition("web", "c"), kAvoid);
}

TEST_F(RosterTest, KeepsHealthOverAReloadThatLeavesTheAddressAlone) {
  all_up();
  report("c", Reason::kRefused);
  report("c", Reason::kRefused);
  config.services[0].check.fall = 9;           // thresholds
  config.services[1].check.interval = 5000ms;  // another check
  config.services[0].backends[0].weight = 7;   // weight
  std::swap(config.services[0].backends[1], config.services[0].backends[2]);
  config.services[0].backends.push_back(backend("d", 14));
  reload();
  EXPECT_EQ(disposition("web", "a"), kNew);
  EXPECT_EQ(disposition("web", "c"), kAvoid);
  EXPECT_EQ(disposition("dsr", "a"), kNew);
  EXPECT_EQ(disposition("dsr", "c"), kAvoid);
  EXPECT_EQ(disposition("web", "d"), kKeep);
  EXPECT_EQ(roster.at(*roster.find({"web", "a"})).changes, 1U);
  config.services[0].backends[0].address.bytes[3] = 99;
  reload();
  EXPECT_EQ(disposition("web", "a"), kKeep);  // a new member, not probed yet
}

TEST_F(RosterTest, AdoptsWhatRunsWithoutAnyStateChange) {
  all_up();
  report("b", Reason::kRefused);
  report("b", Reason::kRefused);
  passed = 20s;
  roster.tick(now());
  drain(*roster.find({"web", "c"}));
  const RunningState state = running();
  const Orders drains = {{{"web", "c"}, drained(now().unix_ms)}};
  Roster fresh(config, {}, drains, now());
  fresh.settle("start", now());
  fresh.adopt(state, now());
  const auto outcome = fresh.settle("adopted", now());
  EXPECT_TRUE(outcome.changes.empty());
  EXPECT_FALSE(outcome.weights_changed);
  EXPECT_EQ(build_generation(config, fresh.decisions(), 5), state.generation);
  EXPECT_EQ(health_name(fresh.at(*fresh.find({"web", "b"})).judgement.health), "down");
}

TEST_F(RosterTest, DoesNotAdoptAnotherAddressARetiredMemberOrWhatItKnowsBetter) {
  all_up();
  RunningState state = running();
  state.members[0].address = to_dataplane(backend("x", 99).address);
  state.members[1].retired = true;
  report("c", Reason::kRefused);
  report("c", Reason::kRefused);
  roster.adopt(state, now());
  EXPECT_EQ(roster.at(*roster.find({"web", "c"})).judgement.health, Health::kDown);
  Roster fresh(config, {}, {}, now());
  fresh.adopt(state, now());
  EXPECT_EQ(fresh.at(*fresh.find({"web", "a"})).judgement.health, Health::kUnknown);
  EXPECT_EQ(fresh.at(*fresh.find({"web", "b"})).judgement.health, Health::kUnknown);
  EXPECT_EQ(fresh.at(*fresh.find({"web", "c"})).judgement.health, Health::kUp);
}

TEST_F(RosterTest, ResetsADrainedMemberAtItsDeadlineAlsoAfterARestart) {
  all_up();
  const MemberPlace place = *roster.find({"web", "a"});
  drain(place);
  EXPECT_EQ(disposition("web", "a"), kKeep);
  EXPECT_EQ(disposition("dsr", "a"), kNew);
  passed = 299s;
  roster.tick(now());
  EXPECT_EQ(disposition("web", "a"), kKeep);
  const Orders drains = {{{"web", "a"}, drained(1'000'000)}};
  Roster restarted(config, {}, drains, now());
  passed = 300s;
  roster.tick(now());
  EXPECT_EQ(disposition("web", "a"), kReset);
  restarted.tick(now());
  EXPECT_EQ(restarted.at(place).decision.disposition, kReset);
  roster.apply(place, {AdminEvent::kEnable, {}, "undrain"}, now());
  EXPECT_EQ(disposition("web", "a"), kNew);
}

TEST_F(RosterTest, KeepsADrainsDeadlineOverReloadsWhateverTheWallClockDoes) {
  all_up();
  const Orders drains = {{{"web", "a"}, drained(1'000'000)}};
  drain(*roster.find({"web", "a"}));
  passed = 100s;
  wall_jump = 1h;
  reload(drains);
  EXPECT_EQ(disposition("web", "a"), kKeep);
  wall_jump = -1h;
  reload(drains);
  passed = 300s;
  roster.tick(now());
  EXPECT_EQ(disposition("web", "a"), kReset);
}

TEST_F(RosterTest, KeepsTheTermsThatADrainBeganWithWhenTheFileChanges) {
  all_up();
  const Orders drains = {{{"web", "a"}, drained(1'000'000)}};
  drain(*roster.find({"web", "a"}));
  passed = 100s;
  config.services[0].drain.deadline = 150s;
  reload(drains);
  passed = 299s;
  roster.tick(now());
  EXPECT_EQ(disposition("web", "a"), kKeep);
  passed = 300s;
  roster.tick(now());
  EXPECT_EQ(disposition("web", "a"), kReset);
}

TEST_F(RosterTest, NeverResetsWhatIsToBeKept) {
  config.services[0].drain.then = config::DrainEnd::kKeep;
  reload();
  all_up();
  drain(*roster.find({"web", "a"}));
  passed = 24h;
  roster.tick(now());
  EXPECT_EQ(disposition("web", "a"), kKeep);
}

TEST_F(RosterTest, TakesMembersWithoutCheckAsUp) {
  config.services[0].has_check = false;
  reload();
  EXPECT_EQ(disposition("web", "a"), kNew);
  EXPECT_EQ(disposition("dsr", "a"), kKeep);
}

TEST_F(RosterTest, FindsObjectsByServiceAndBackendByBackendAndByHost) {
  EXPECT_EQ(roster.resolve("web/a").size(), 1U);
  EXPECT_EQ(roster.resolve("a").size(), 2U);
  EXPECT_EQ(roster.resolve("host:10.0.3.12").size(), 2U);
  EXPECT_TRUE(roster.resolve("web/x").empty());
  EXPECT_TRUE(roster.resolve("host:a").empty());
  EXPECT_TRUE(roster.resolve("").empty());
}

}  // namespace
}  // namespace holdfast::control
