// SPDX-License-Identifier: Apache-2.0
// `plan` and `apply` on the engine: a file looked at, taken, and taken back unless it is confirmed.
#include "control/publish/build.h"
#include "dataplane/api/codec.h"
#include "tests/unit/control/engine_fixture.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class TrialTest : public EngineTest {
 protected:
  [[nodiscard]] std::string candidate() const { return directory.file("candidate.yaml"); }
  void offer(const std::string& text) { std::ofstream(candidate(), std::ios::trunc) << text; }
  VerbResult apply(std::chrono::milliseconds confirm = 0ms, bool force = false) {
    return get(engine->apply({.path = candidate(),
                              .caller = {.who = "uid=0(root)", .reason = "more"},
                              .confirm = confirm,
                              .force = force}));
  }
  VerbResult plan() { return get(engine->plan(candidate())); }
  VerbResult confirm(std::optional<std::uint64_t> revision = {}) {
    return get(engine->confirm(
        {.revision = revision, .caller = {.who = "uid=0(root)", .reason = "it works"}}));
  }
  std::string newest_reason() { return get(engine->history())[0].reason; }
  void know_the_key() {
    const config::Config config = config::load_config(path()).value();
    forwarder->hello_reply.set_startup(
        seam::to_wire(startup_spec(config, HashKey{1, 2, 3})).SerializeAsString());
    forwarder->disconnect();
    forwarder->connect();
    pass(600ms);
  }
};

TEST_F(TrialTest, PlansAndChangesNothing) {
  begin_up();
  know_the_key();
  offer(yaml(kFour));
  const VerbResult result = plan();
  EXPECT_EQ(result.outcome, Outcome::kOk) << result.lines.back();
  EXPECT_THAT(result.lines,
              Contains("service web: backend d (10.0.3.14) is added with weight 100"));
  EXPECT_THAT(result.lines, Contains(HasSubstr("slots moved, least possible")));
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(engine->status().last_reload.result, "applied") << "of the start";
}

TEST_F(TrialTest, PlansWhatWouldBeRefused) {
  begin_up();
  offer(yaml(member("z", 99)));
  EXPECT_EQ(plan().outcome, Outcome::kRefused);
  EXPECT_THAT(plan().lines, Contains(HasSubstr("would lose 3 of its 3 backends")));
  offer(yaml(kThree, "dataplane: {workers: 3}\n"));
  EXPECT_EQ(plan().outcome, Outcome::kInvalidConfiguration);
  offer("services: [\n");
  EXPECT_EQ(plan().outcome, Outcome::kInvalidConfiguration);
  offer(yaml(kThree));
  EXPECT_THAT(plan().lines, Contains("nothing changes in what is forwarded"));
}

TEST_F(TrialTest, AppliesAFileAndSetsTheOneOnDiskAside) {
  begin_up();
  offer(yaml(kFour));
  EXPECT_EQ(apply().outcome, Outcome::kOk);
  EXPECT_EQ(engine->backends().size(), 4U);
  EXPECT_EQ(get(engine->history())[0].origin, "apply " + candidate());
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("the file on disk is another one")));
  stop();
  begin();
  forwarder->connect();
  pass(600ms);
  EXPECT_EQ(engine->backends().size(), 4U);
  EXPECT_EQ(confirm().outcome, Outcome::kUsage);
}

TEST_F(TrialTest, IsTakenBackWhenNobodyConfirmsIt) {
  begin_up();
  offer(yaml(kFour));
  EXPECT_EQ(apply(60s).outcome, Outcome::kOk);
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("falls back to 1 in 60 s")));
  pass(59s);
  EXPECT_EQ(engine->backends().size(), 4U);
  pass(2s);
  EXPECT_EQ(engine->backends().size(), 3U);
  EXPECT_EQ(get(engine->history())[0].origin, "rollback to 1");
  EXPECT_EQ(get(engine->history())[0].reason, "nobody confirmed it");
  EXPECT_THAT(engine->status().notices, Not(Contains(HasSubstr("falls back"))));
}

TEST_F(TrialTest, StaysOnceItIsConfirmedAlsoOverARestart) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  EXPECT_THAT(confirm().lines, ElementsAre("revision 2 is confirmed"));
  stop();
  begin();
  forwarder->connect();
  pass(70s);
  EXPECT_EQ(engine->backends().size(), 4U);
}

TEST_F(TrialTest, GoesOnOverARestartOfControl) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  stop();
  unix_ms += 40'000;
  begin();
  forwarder->connect();
  pass(600ms);
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("falls back to 1 in 20 s")));
  pass(20s);
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(TrialTest, IsTakenBackAtOnceWhenAServiceLosesCapacity) {
  begin_up();
  prober.dead = {99};
  offer(yaml(member("a", 11) + ", " + member("b", 12) + ", " + member("c", 99)));
  apply(60s);
  pass(2s);
  EXPECT_EQ(newest_reason(), "service web fell from a healthy weight of 300 to 200");
  EXPECT_EQ(view("c").address, "10.0.3.13");
}

TEST_F(TrialTest, WatchesCapacityAfterARestartOnceAllAreJudged) {
  begin_up();
  prober.dead = {13};
  pass(2s);
  offer(yaml(kFour));
  apply(60s);
  stop();
  begin();
  forwarder->connect();
  pass(3s);
  EXPECT_EQ(engine->backends().size(), 4U) << "c was down before, and is no loss";
  prober.dead = {12, 13};
  pass(3s);
  EXPECT_EQ(newest_reason(), "service web fell from a healthy weight of 300 to 200");
}

TEST_F(TrialTest, TakesADrainForNoLoss) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  EXPECT_EQ(drain("web/a").outcome, Outcome::kOk);
  EXPECT_EQ(drain("web/b").outcome, Outcome::kOk);
  pass(2s);
  EXPECT_EQ(engine->status().revision, 2U);
}

TEST_F(TrialTest, EndsWithTheNextReloadWhichSaysSo) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  write(yaml(kFour + ", " + member("e", 15)));
  EXPECT_THAT(reload().lines, Contains("nobody had confirmed revision 2"));
  pass(61s);
  EXPECT_EQ(engine->backends().size(), 5U);
}

TEST_F(TrialTest, FallsBackToWhatWasBeforeTheFirstOfSeveral) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  offer(yaml(kFour + ", " + member("e", 15)));
  EXPECT_THAT(apply(30s).lines, Contains(HasSubstr("revision 3 falls back to 1 in 30 s")));
  pass(31s);
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(TrialTest, KeepsTheWayBackHoweverManyFollow) {
  begin_up();
  for (std::size_t i = 0; i <= kRevisionsKept; ++i) {
    offer(yaml(kFour + ", " + member("e", 15 + static_cast<int>(i))));
    EXPECT_EQ(apply(60s).outcome, Outcome::kOk);
  }
  pass(61s);
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(TrialTest, FallsBackToWhatWasConfirmedWhileTheNextWasOnItsWay) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  offer(yaml(kFour + ", " + member("e", 15)));
  forwarder->hold = true;
  std::optional<VerbResult> applied;
  boost::asio::co_spawn(
      context,
      engine->apply({.path = candidate(), .caller = {}, .confirm = 30s}),
      [&](const std::exception_ptr&, VerbResult result) { applied = std::move(result); });
  run();
  EXPECT_EQ(confirm(2).outcome, Outcome::kOk);
  forwarder->release();
  run();
  ASSERT_TRUE(applied.has_value());
  EXPECT_THAT(applied->lines, Contains(HasSubstr("revision 3 falls back to 2 in 30 s")));
}

TEST_F(TrialTest, DoesNotMissWhatWasNeverHealthy) {
  begin_up();
  prober.dead = {14};
  offer(yaml(kFour));
  apply(60s);
  pass(3s);
  EXPECT_EQ(engine->status().revision, 2U);
}

TEST_F(TrialTest, LeavesARefusedFileOnDiskToItsRetries) {
  write(yaml(kFour));
  begin();
  forwarder->refusal = "no room";
  forwarder->connect();
  pass(600ms);
  offer("services: [\n");
  EXPECT_EQ(apply().outcome, Outcome::kInvalidConfiguration);
  forwarder->refusal.clear();
  pass(6s);
  EXPECT_EQ(engine->backends().size(), 4U);
}

TEST_F(TrialTest, IsNotBegunWhenThereIsNoWayBack) {
  begin_up();
  std::ofstream(directory.file("revision-1"), std::ios::trunc) << "torn";
  offer(yaml(kFour));
  EXPECT_EQ(apply(60s).outcome, Outcome::kRefused);
  EXPECT_EQ(engine->backends().size(), 3U);
  EXPECT_EQ(apply().outcome, Outcome::kOk);
}

TEST_F(TrialTest, ConfirmsOnlyTheRevisionThatIsMeant) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  EXPECT_EQ(confirm(1).outcome, Outcome::kUsage);
  EXPECT_EQ(confirm(2).outcome, Outcome::kOk);
  EXPECT_THAT(confirm(2).lines, ElementsAre("revision 2 is confirmed already"));
  EXPECT_EQ(confirm().outcome, Outcome::kUsage);
}

TEST_F(TrialTest, CanNotBeConfirmedOnceTheWayBackHasBegun) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  forwarder->hold = true;
  pass(61s);
  EXPECT_EQ(confirm().outcome, Outcome::kRefused);
  forwarder->release();
  run();
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(TrialTest, AWayBackThatIsRefusedIsTriedAgain) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  forwarder->refusal = "no";
  pass(61s);
  EXPECT_EQ(engine->backends().size(), 4U);
  EXPECT_THAT(engine->status().notices,
              Contains("revision 2 is to fall back to 1: nobody confirmed it"));
  const std::uint64_t refused = engine->status().reloads_refused;
  pass(20s);
  EXPECT_EQ(engine->status().reloads_refused, refused) << "each try counts";
  forwarder->refusal.clear();
  pass(6s);
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(TrialTest, AConfirmationThatCannotBeWrittenDownIsRepeated) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  std::filesystem::remove(directory.file("revision-2"));
  std::filesystem::create_directories(directory.file("revision-2/in-the-way"));
  EXPECT_EQ(confirm().outcome, Outcome::kFailed);
  EXPECT_EQ(confirm().outcome, Outcome::kFailed);
  std::filesystem::remove_all(directory.file("revision-2"));
  EXPECT_EQ(confirm().outcome, Outcome::kOk);
  pass(61s);
  EXPECT_EQ(engine->backends().size(), 4U);
}

TEST_F(TrialTest, LastsItsTermOnceMoreAtMostBehindAClockThatIsSetBack) {
  begin_up();
  offer(yaml(kFour));
  apply(60s);
  pass(50s);
  stop();
  unix_ms -= 3'600'000;
  begin();
  forwarder->connect();
  pass(61s);
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(TrialTest, RefusesMuchAtOnceUnlessForced) {
  begin_up();
  offer(yaml(member("z", 99)));
  EXPECT_EQ(apply().outcome, Outcome::kRefused);
  EXPECT_THAT(apply(0ms, true).lines,
              Contains("forced: service web would lose 3 of its 3 backends"));
  EXPECT_THAT(lines, Contains(HasSubstr("forced who=")));
}

}  // namespace
}  // namespace holdfast::control
