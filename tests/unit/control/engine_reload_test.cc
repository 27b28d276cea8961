// SPDX-License-Identifier: Apache-2.0
// Reloads: whole or not at all, judged by the dataplane, also when its answer is lost.
#include "control/publish/build.h"
#include "dataplane/api/codec.h"
#include "tests/unit/control/engine_fixture.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(EngineTest, AppliesAReloadAndKeepsTheHealthOfWhatStays) {
  begin_up();
  write(yaml(kThree + ", " + member("d", 14)));
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_EQ(engine->status().revision, 2U);
  EXPECT_EQ(forwarder->in_force.number, 2U);
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_EQ(shown("d"), kKeep);
  pass(300ms);
  EXPECT_EQ(shown("d"), kNew);
  EXPECT_EQ(forwarder->publications.size(), 2U);
  EXPECT_EQ(view("a").changes, 1U);
  EXPECT_EQ(reload().lines.at(0), "the configuration is unchanged: revision 2");
}

TEST_F(EngineTest, RefusesABrokenFileAndChangesNothing) {
  begin_up();
  const auto before = forwarder->in_force;
  write(yaml(kThree) + "blance: x\n");
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kInvalidConfiguration);
  EXPECT_THAT(result.lines, Contains(HasSubstr("holdfast.yaml:")));
  pass(1s);
  EXPECT_EQ(forwarder->in_force, before);
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(engine->status().reloads_refused, 1U);
  EXPECT_FALSE(std::filesystem::exists(directory.file("revision-2")));
}

TEST_F(EngineTest, RefusesChangedStartUpKeysByName) {
  begin_up();
  write(yaml(kThree, "dataplane: {workers: 3}\n"));
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kInvalidConfiguration);
  EXPECT_THAT(result.lines, Contains(HasSubstr("workers")));
}

TEST_F(EngineTest, AcceptsChangedStartUpKeysThatTheDataplaneWasStartedWith) {
  begin_up();
  write(yaml(kThree, "dataplane: {workers: 3}\n"));
  EXPECT_EQ(reload().outcome, Outcome::kInvalidConfiguration);
  forwarder->disconnect();
  const config::Config wanted = config::load_config(path()).value();
  forwarder->hello_reply.set_startup(
      seam::to_wire(startup_spec(wanted, HashKey{1, 2, 3})).SerializeAsString());
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(engine->status().last_reload.result, "applied");
  EXPECT_EQ(engine->status().revision, 2U);
}

TEST_F(EngineTest, ChangesNothingWhenTheDataplaneRefusesTheGeneration) {
  begin_up();
  forwarder->refusal = "VIP 203.0.113.10 is a local address";
  write(yaml(member("a", 11) + ", " + member("b", 99)));
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kRefused);
  EXPECT_THAT(result.lines, Contains(HasSubstr("local address")));
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(engine->backends().size(), 3U);
  forwarder->refusal.clear();
  EXPECT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_EQ(engine->backends().size(), 2U);
}

TEST_F(EngineTest, TriesTheFileOfItsStartAgainThatTheDataplaneRefused) {
  begin_up();
  stop();
  write(yaml(kThree + ", " + member("d", 14)));
  begin();
  forwarder->refusal = "VIP 203.0.113.10 is a local address";
  forwarder->connect();
  pass(1s);
  EXPECT_THAT(engine->status().not_in_force, HasSubstr("local address"));
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("on disk is not in force")));
  pass(20s);  // which refuses it again and again
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(engine->status().reloads_refused, 1U);
  forwarder->refusal.clear();
  pass(6s);
  EXPECT_EQ(engine->status().revision, 2U);
  EXPECT_EQ(engine->status().not_in_force, "");
  EXPECT_EQ(forwarder->in_force.services[0].members.size(), 4U);
}

// Control's start finds a file that the dataplane refuses; the revision before is in force.
class RefusedFileTest : public EngineTest {
 protected:
  RefusedFileTest() {
    begin_up();
    stop();
    write(yaml(kThree + ", " + member("d", 14)));
    start();
    reloads_begun = 0;
    reload_ends.clear();
  }
  void start() {
    begin();
    forwarder->refusal = "VIP 203.0.113.10 is a local address";
    forwarder->connect();
    pass(1s);
  }
  bool is_shown() {
    const auto notices = engine->status().notices;
    return std::ranges::any_of(notices, [](const std::string& notice) {
      return notice.starts_with("the configuration on disk is not in force");
    });
  }
};

TEST_F(RefusedFileTest, IsNotTakenWhileTheDataplaneIsAway) {
  forwarder->disconnect();
  pass(18s);
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_FALSE(std::filesystem::exists(directory.file("revision-2")));
  EXPECT_TRUE(is_shown());
  forwarder->refusal.clear();
  forwarder->connect();
  pass(500ms);
  EXPECT_EQ(engine->status().revision, 2U);
  EXPECT_FALSE(is_shown());
}

TEST_F(RefusedFileTest, IsNotTakenWhenTheDataplaneGoesWhileItIsRead) {
  asio::io_context reads{1};
  const auto read = [&] {
    reads.restart();
    reads.poll();
    pass(100ms);
  };
  stop();
  disk = reads.get_executor();
  start();
  read();
  EXPECT_TRUE(is_shown());
  pass(6s);  // the retry waits for its file
  forwarder->disconnect();
  read();
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(engine->status().reloads_refused, 1U);
  EXPECT_TRUE(is_shown());
  forwarder->refusal.clear();
  forwarder->connect();
  pass(6s);
  read();  // and then it is taken and kept
  read();
  EXPECT_EQ(engine->status().revision, 2U);
  stop();
  disk = context.get_executor();
}

TEST_F(RefusedFileTest, StaysRefusedWhenTheAnswerToARetryIsLost) {
  forwarder->hold = true;
  pass(6s);
  forwarder->disconnect();
  pass(11s);
  EXPECT_THAT(engine->status().last_reload.lines, Contains(HasSubstr("did not say")));
  EXPECT_TRUE(is_shown());
  forwarder->refusal.clear();
  forwarder->connect();
  pass(6s);
  EXPECT_EQ(engine->status().revision, 2U);
  EXPECT_FALSE(is_shown());
}

TEST_F(RefusedFileTest, IsTheOperatorsOnceHeAskedForIt) {
  EXPECT_EQ(reload().outcome, Outcome::kRefused);
  EXPECT_FALSE(is_shown());
  const std::size_t asked = forwarder->publications.size();
  pass(20s);
  EXPECT_EQ(forwarder->publications.size(), asked);
}

TEST_F(RefusedFileTest, IsNotTriedAgainBehindAnOperatorsReload) {
  forwarder->hold = true;
  asio::co_spawn(context, engine->reload({.who = "test", .reason = ""}), asio::detached);
  pass(6s);
  forwarder->release();
  run();
  const std::size_t asked = forwarder->publications.size();
  pass(20s);
  EXPECT_EQ(forwarder->publications.size(), asked);
  EXPECT_FALSE(is_shown());
}

TEST_F(RefusedFileTest, IsLoggedOnceHoweverOftenItIsTried) {
  const std::size_t asked = forwarder->publications.size();
  const std::size_t logged = lines.size();
  pass(20s);
  EXPECT_GE(forwarder->publications.size(), asked + 3);
  EXPECT_EQ(lines.size(), logged) << lines.back();
}

TEST_F(RefusedFileTest, IsTriedAgainWithoutTheServiceManagerUntilItIsTaken) {
  pass(20s);
  EXPECT_EQ(reload_ends.size(), 0U);
  forwarder->refusal.clear();
  pass(6s);
  EXPECT_EQ(reloads_begun, 0U);
  EXPECT_THAT(reload_ends, ElementsAre("revision 2, last reload applied"));
}

TEST_F(EngineTest, TriesAFileAgainThatARestartedDataplaneRefused) {
  begin_up();
  write(yaml(kThree, "dataplane: {workers: 3}\n"));
  EXPECT_EQ(reload().outcome, Outcome::kInvalidConfiguration);
  forwarder->disconnect();
  const config::Config wanted = config::load_config(path()).value();
  forwarder->hello_reply.set_startup(
      seam::to_wire(startup_spec(wanted, HashKey{1, 2, 3})).SerializeAsString());
  forwarder->in_force = {};
  forwarder->refusal = "VIP 203.0.113.10 is a local address";
  forwarder->connect();
  pass(1s);
  EXPECT_THAT(engine->status().not_in_force, HasSubstr("local address"));
  forwarder->refusal.clear();
  pass(6s);
  EXPECT_EQ(engine->status().revision, 2U);
  EXPECT_EQ(engine->status().not_in_force, "");
}

TEST_F(EngineTest, CoalescesReloadsSoThatTheLastFileWins) {
  begin_up();
  forwarder->hold = true;
  write(yaml(kThree + ", " + member("d", 14)));
  int done = 0;
  const auto ask = [&] {
    asio::co_spawn(context,
                   engine->reload({.who = "test", .reason = ""}),
                   [&](const std::exception_ptr&, const VerbResult& result) {
                     done += result.outcome == Outcome::kOk ? 1 : 0;
                   });
    run();
  };
  ask();
  write(yaml(kThree));
  for (int i = 0; i < 99; ++i) {
    ask();
  }
  EXPECT_EQ(done, 0);
  forwarder->release();
  run();
  EXPECT_EQ(done, 100);
  EXPECT_EQ(forwarder->publications.size(), 3U);
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(EngineTest, ActsOnADeathDuringAReloadThatIsStillInFlight) {
  begin_up();
  forwarder->hold = true;
  write(yaml(kThree + ", " + member("d", 14)));
  asio::co_spawn(context,
                 engine->reload({.who = "test", .reason = ""}),
                 [](const std::exception_ptr&, const VerbResult&) {});
  prober.dead = {12};
  pass(400ms);
  EXPECT_THAT(forwarder->changes, Contains(DispositionChange{"web", "b", kAvoid}));
  forwarder->release();
  pass(300ms);
  EXPECT_EQ(shown("b"), kAvoid);
  EXPECT_EQ(shown("d"), kNew);
  EXPECT_EQ(engine->status().revision, 2U);
}

TEST_F(EngineTest, AcceptsAReloadWithoutDataplaneAndDeliversItLater) {
  begin_up();
  forwarder->disconnect();
  run();
  write(yaml(kThree + ", " + member("d", 14)));
  EXPECT_EQ(reload().outcome, Outcome::kUnreachable);
  EXPECT_EQ(engine->status().revision, 2U);
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(forwarder->in_force.services[0].members.size(), 4U);
}

TEST_F(EngineTest, WaitsForTheVerdictOnAReloadWhoseAnswerWasLost) {
  begin_up();
  const auto run = reload_that_loses_its_answer();
  EXPECT_FALSE(run->has_value());
  EXPECT_EQ(engine->status().revision, 1U);
  forwarder->in_force = forwarder->publications.back();  // it took it all the same
  forwarder->connect();
  pass(300ms);
  ASSERT_TRUE(run->has_value());
  EXPECT_EQ((*run)->outcome, Outcome::kOk);
  EXPECT_EQ(engine->status().revision, 2U);
  EXPECT_EQ(forwarder->publications.size(), 2U);
  EXPECT_EQ(engine->status().adoption_state_changes, 0U);
}

TEST_F(EngineTest, AsksAgainWhenTheLostReloadDoesNotRun) {
  begin_up();
  const auto run = reload_that_loses_its_answer();
  forwarder->refusal = "VIP 203.0.113.10 is a local address";
  forwarder->connect();
  pass(300ms);
  ASSERT_TRUE(run->has_value());
  EXPECT_EQ((*run)->outcome, Outcome::kRefused);
  EXPECT_THAT((*run)->lines, Contains(HasSubstr("local address")));
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(EngineTest, SendsALostReloadAgainWithWhatHappenedMeanwhile) {
  begin_up();
  const auto run = reload_that_loses_its_answer();
  prober.dead = {12};
  pass(500ms);
  forwarder->connect();
  pass(300ms);
  ASSERT_TRUE(run->has_value());
  EXPECT_EQ((*run)->outcome, Outcome::kOk);
  EXPECT_EQ(engine->status().revision, 2U);
  EXPECT_EQ(shown("b"), kAvoid);
}

TEST_F(EngineTest, GivesUpAReloadThatBreaksTheConnectionEveryTime) {
  begin_up();
  const auto run = reload_that_loses_its_answer();
  forwarder->hold = true;
  forwarder->connect();
  pass(100ms);
  forwarder->disconnect();
  pass(100ms);
  forwarder->connect();
  pass(300ms);
  ASSERT_TRUE(run->has_value());
  EXPECT_EQ((*run)->outcome, Outcome::kTimedOut);
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(forwarder->in_force.services[0].members.size(), 3U);
}

TEST_F(EngineTest, CommitsNothingWhenTheDataplaneNeverJudgesAReload) {
  begin_up();
  const auto run = reload_that_loses_its_answer();
  pass(std::chrono::milliseconds(Engine::kVerdictWait) + 100ms);
  ASSERT_TRUE(run->has_value());
  EXPECT_EQ((*run)->outcome, Outcome::kTimedOut);
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_FALSE(std::filesystem::exists(directory.file("revision-2")));
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(forwarder->in_force.services[0].members.size(), 3U);
}

TEST_F(EngineTest, ForgetsAFailedPublicationOnceWhatIsWantedRuns) {
  begin_up();
  forwarder->refusal = "too little memory";
  write(yaml(kThree + ", " + member("d", 14)));
  ASSERT_EQ(reload().outcome, Outcome::kRefused);
  forwarder->refusal.clear();
  write(yaml(kThree));
  EXPECT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_THAT(engine->status().notices, Not(Contains(HasSubstr("too little memory"))));
}

TEST_F(EngineTest, NoLongerPromisesALaterPublicationThatIsDone) {
  begin();
  pass(2s);
  EXPECT_THAT(engine->status().last_reload.lines, Contains(HasSubstr("not connected")));
  forwarder->connect();
  pass(300ms);
  EXPECT_THAT(engine->status().last_reload.lines, Not(Contains(HasSubstr("not connected"))));
}

TEST_F(EngineTest, SaysHowManyErrorsARefusedFileHas) {
  begin_up();
  write(yaml(kThree) + "blance: x\nsloths: y\n");
  static_cast<void>(reload());
  EXPECT_THAT(lines,
              Contains(AllOf(HasSubstr("event=reload result=refused"),
                             HasSubstr("detail=\"2 errors, first: "))));
}

TEST_F(EngineTest, RefusesAReloadOfControlsOwnKeysByName) {
  begin_up();
  write(yaml(kThree, "control: {metrics: none}\n"));
  const VerbResult refused = reload();
  EXPECT_EQ(refused.outcome, Outcome::kInvalidConfiguration);
  EXPECT_THAT(refused.lines,
              Contains(HasSubstr("control.metrics cannot change from '127.0.0.1:9180' to 'none' "
                                 "without a restart of control")));
}

}  // namespace
}  // namespace holdfast::control
