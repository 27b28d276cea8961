// SPDX-License-Identifier: Apache-2.0
// What was accepted before, and the way back to it.
#include "control/publish/build.h"
#include "dataplane/api/codec.h"
#include "tests/unit/control/engine_fixture.h"

#include <fstream>
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

class RevisionsTest : public EngineTest {
 protected:
  VerbResult roll_back(std::optional<std::uint64_t> revision = std::nullopt) {
    return get(engine->roll_back(
        {.revision = revision, .caller = {.who = "uid=0(root)", .reason = "too slow"}}));
  }
  std::vector<RevisionView> history() { return get(engine->history()); }
  // Revision 1 has three members, revision 2 a fourth.
  void begin_with_two() {
    begin_up();
    write(yaml(kFour));
    EXPECT_EQ(reload().outcome, Outcome::kOk);
  }
};

TEST_F(RevisionsTest, AreListedTheNewestFirstWithWhoMadeThemAndHow) {
  begin_with_two();
  const std::vector<RevisionView> views = history();
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[0].number, 2U);
  EXPECT_TRUE(views[0].running);
  EXPECT_EQ(views[0].who, "test");
  EXPECT_EQ(views[0].origin, "reload");
  EXPECT_EQ(views[0].unix_ms, unix_ms);
  EXPECT_EQ(views[1].number, 1U);
  EXPECT_FALSE(views[1].running);
  EXPECT_EQ(views[1].who, "start");
}

TEST_F(RevisionsTest, AreRolledBackToTheOneBeforeAsANewOne) {
  begin_with_two();
  const VerbResult result = roll_back();
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_THAT(result.lines, Contains("revision 3 is in force"));
  EXPECT_EQ(engine->backends().size(), 3U);
  EXPECT_EQ(forwarder->in_force.services[0].members.size(), 3U);
  EXPECT_EQ(history()[0].origin, "rollback to 1");
  EXPECT_EQ(history()[0].reason, "too slow");
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("the file on disk is another one")));
}

TEST_F(RevisionsTest, OfARollbackOutliveARestartUntilTheFileChanges) {
  begin_with_two();
  roll_back();
  stop();
  begin();
  forwarder->connect();
  pass(600ms);
  EXPECT_EQ(engine->status().revision, 3U);
  EXPECT_EQ(engine->backends().size(), 3U);
  EXPECT_EQ(engine->status().last_reload.result, "unchanged");
  stop();
  write(yaml(kFour + ", " + member("e", 15)));
  begin();
  forwarder->connect();
  pass(600ms);
  EXPECT_EQ(engine->status().revision, 4U);
  EXPECT_EQ(engine->backends().size(), 5U);
}

TEST_F(RevisionsTest, GiveWayToTheFileWhenAReloadIsAskedFor) {
  begin_with_two();
  roll_back();
  EXPECT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_EQ(engine->backends().size(), 4U);
  EXPECT_THAT(engine->status().notices, Not(Contains(HasSubstr("another one"))));
}

TEST_F(RevisionsTest, ThatTheFileIsAgainAreNotSetAside) {
  begin_with_two();
  write(yaml(kThree));
  roll_back();
  EXPECT_THAT(engine->status().notices, Not(Contains(HasSubstr("another one"))));
  EXPECT_EQ(reload().lines.at(0), "the configuration is unchanged: revision 3");
}

TEST_F(RevisionsTest, ThatAreNotThereAreRefusedAndNothingChanges) {
  begin_with_two();
  EXPECT_EQ(roll_back(7).outcome, Outcome::kUsage);
  EXPECT_THAT(roll_back(7).lines, ElementsAre("there is no revision 7"));
  EXPECT_THAT(roll_back(2).lines, ElementsAre("revision 2 is in force already"));
  EXPECT_EQ(engine->status().revision, 2U);
}

TEST_F(RevisionsTest, BeforeTheFirstThereIsNone) {
  begin_up();
  EXPECT_THAT(roll_back().lines, ElementsAre(HasSubstr("there is no revision before 1")));
}

TEST_F(RevisionsTest, ThatWereLeftAreNotTheOnesBefore) {
  begin_with_two();
  roll_back();
  EXPECT_THAT(roll_back().lines, ElementsAre(HasSubstr("there is no revision before 1")));
  EXPECT_EQ(roll_back(2).outcome, Outcome::kOk) << "but by their number";
  EXPECT_EQ(engine->backends().size(), 4U);
}

TEST_F(RevisionsTest, SetAFileAsideThatCannotBeRead) {
  begin_with_two();
  write("services: [\n");
  roll_back();
  write(yaml(kFour));
  stop();
  begin();
  forwarder->connect();
  pass(600ms);
  EXPECT_EQ(engine->status().revision, 3U);
  EXPECT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_EQ(engine->backends().size(), 4U);
}

TEST_F(RevisionsTest, GoBackOverAChangeOfControlsOwnKeys) {
  begin_up();
  write(yaml(kFour, "control: {allow_large_change: true}\n"));
  EXPECT_EQ(reload().outcome, Outcome::kOk);
  write(yaml(kThree, "control: {metrics: none}\n"));
  stop();
  begin();
  forwarder->connect();
  pass(600ms);
  EXPECT_EQ(roll_back(1).outcome, Outcome::kOk);
}

TEST_F(RevisionsTest, ThatFailLeaveTheRetryOfTheFileAlone) {
  begin_up();
  stop();
  write(yaml(kFour));
  begin();
  forwarder->refusal = "a VIP is a local address";
  forwarder->connect();
  pass(1s);
  EXPECT_EQ(roll_back(9).outcome, Outcome::kUsage);
  EXPECT_THAT(engine->status().not_in_force, HasSubstr("local address"));
  forwarder->refusal.clear();
  pass(6s);
  EXPECT_EQ(engine->status().revision, 2U);
}

TEST_F(RevisionsTest, ThatAreRefusedDoNotForgetAFileThatWaitsForTheDataplanesRestart) {
  begin_with_two();
  write(yaml(kFour, "dataplane: {workers: 3}\n"));
  EXPECT_EQ(reload().outcome, Outcome::kInvalidConfiguration);
  forwarder->refusal = "no";
  EXPECT_EQ(roll_back().outcome, Outcome::kRefused);
  forwarder->refusal.clear();
  forwarder->disconnect();
  const config::Config wanted = config::load_config(path()).value();
  forwarder->hello_reply.set_startup(
      seam::to_wire(startup_spec(wanted, HashKey{1, 2, 3})).SerializeAsString());
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(engine->status().last_reload.result, "applied");
}

TEST_F(RevisionsTest, WithNumbersThatNobodyCountsToAreLeftAlone) {
  std::ofstream(directory.file("revision-18446744073709551615")) << "x";
  begin_up();
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(history().size(), 1U);
}

TEST_F(RevisionsTest, ThatTheDataplaneRefusesChangeNothing) {
  begin_with_two();
  forwarder->refusal = "no";
  EXPECT_EQ(roll_back().outcome, Outcome::kRefused);
  EXPECT_EQ(engine->backends().size(), 4U);
  EXPECT_EQ(history().size(), 2U);
}

TEST_F(RevisionsTest, ShowTheirFilesAndTheOneOnDiskEvenWhenItIsBroken) {
  begin_with_two();
  const std::string broken = yaml(kThree) + "blance: x\n";
  write(broken);
  const auto first = get(engine->sources(1));
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->name, "revision 1");
  EXPECT_EQ(first->files.at(0).text, yaml(kThree));
  const auto file = get(engine->sources(std::nullopt));
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->name, path());
  EXPECT_EQ(file->files.at(0).text, broken);
  EXPECT_EQ(get(engine->sources(9)).error(), "there is no revision 9");
}

TEST_F(RevisionsTest, OfAnOlderVersionAreReadWithoutWhoMadeThem) {
  const auto old = revision_from_text(5, "holdfast revision 1\nfile 1 3\na\nabc\n");
  ASSERT_TRUE(old.has_value());
  EXPECT_EQ(old->about, RevisionAbout());
  EXPECT_EQ(old->sources.at(0).text, "abc");
}

TEST_F(RevisionsTest, KeepWhatTheyAreAboutAndIgnoreWhatANewerVersionAdds) {
  const Revision one{.number = 1,
                     .about = {.unix_ms = 5,
                               .who = "uid=0(root)",
                               .reason = "a b  c",
                               .origin = "rollback to 3",
                               .config_path = "/etc/holdfast.yaml",
                               .set_aside = "00ff",
                               .back_to = 3},
                     .sources = {{"a", "b"}}};
  std::string text = revision_to_text(one);
  EXPECT_EQ(revision_from_text(1, text)->about, one.about);
  const std::size_t bytes = text.find("about ") + 6;
  const std::size_t digits = text.find('\n', bytes) - bytes;
  const std::size_t length = std::stoul(text.substr(bytes, digits));
  text.replace(bytes, digits, std::to_string(length + 6));
  text.insert(text.find('\n', bytes) + 1, "new x\n");
  EXPECT_EQ(revision_from_text(1, text)->about, one.about);
}

}  // namespace
}  // namespace holdfast::control
