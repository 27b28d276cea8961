// SPDX-License-Identifier: Apache-2.0
// `history`, `rollback` and `diff` against the real API server with a fake operator behind it.
#include "tests/unit/cli/cli_verb_fixture.h"

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;

class CliRevisionsTest : public CliVerbFixture {
 protected:
  CliRevisionsTest() {
    operator_.revision_views = {{.number = 3,
                                 .unix_ms = 1'700'000'000'000,
                                 .who = "uid=0(root)",
                                 .reason = "too slow",
                                 .origin = "rollback to 1",
                                 .running = true,
                                 .problem = ""},
                                {.number = 2, .problem = "revision-2: is no whole revision"}};
    operator_.revisions[1] = {.name = "revision 1", .files = {{"a.yaml", "version: 1\nx: 1\n"}}};
    operator_.revisions[3] = {.name = "revision 3", .files = {{"a.yaml", "version: 1\nx: 2\n"}}};
    operator_.file = {.name = "/etc/a.yaml", .files = {{"a.yaml", "version: 1\nx: 2\n"}}};
    start();
  }
};

TEST_F(CliRevisionsTest, AreListedWithWhoMadeThemHowAndWhen) {
  EXPECT_EQ(run_with_socket({"history"}).out,
            "REVISION        WHEN                     HOW            WHO          REASON\n"
            "       3  runs  2023-11-14 22:13:20 UTC  rollback to 1  uid=0(root)  too slow\n"
            "       2        -                        -              -            -\n"
            "\n"
            "cannot be read: revision-2: is no whole revision\n");
}

TEST_F(CliRevisionsTest, AreListedAsJson) {
  const auto listed = boost::json::parse(run_with_socket({"history", "-o", "json"}).out);
  EXPECT_EQ(listed.at("revisions").at(0).at("origin"), "rollback to 1");
  EXPECT_EQ(listed.at("revisions").at(1).at("problem"), "revision-2: is no whole revision");
}

TEST_F(CliRevisionsTest, AreRolledBackToByNumberOrToTheOneBefore) {
  EXPECT_EQ(run_with_socket({"rollback", "--reason", "slow"}).out, "done\n");
  EXPECT_EQ(run_with_socket({"rollback", "7", "--force"}).exit_code, 0);
  ASSERT_EQ(calls().size(), 2U);
  EXPECT_EQ(calls()[0].object, "");
  EXPECT_EQ(calls()[0].caller.reason, "slow");
  EXPECT_EQ(calls()[1].object, "7");
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"rollback", "x"}, {"rollback", "0"}, {"rollback", "1", "2"}}) {
    EXPECT_EQ(run_with_socket(words).exit_code, 2);
  }
  EXPECT_EQ(calls().size(), 2U);
}

TEST_F(CliRevisionsTest, AreMadeOfAFileThatControlReads) {
  EXPECT_EQ(run_with_socket({"plan", "/etc/../etc/b.yaml"}).out, "done\n");
  EXPECT_EQ(run_with_socket({"apply", "b.yaml", "--confirm", "60s", "--reason", "new"}).exit_code,
            0);
  EXPECT_EQ(run_with_socket({"confirm", "4"}).exit_code, 0);
  ASSERT_EQ(calls().size(), 3U);
  EXPECT_EQ(calls()[0].object, "/etc/../etc/b.yaml") << "links are followed by control alone";
  EXPECT_EQ(calls()[1].object, (std::filesystem::current_path() / "b.yaml").string());
  EXPECT_EQ(calls()[1].caller.reason, "new");
  EXPECT_EQ(operator_.applied[0].confirm, std::chrono::minutes(1));
  EXPECT_EQ(calls()[2].object, "4");
}

TEST_F(CliRevisionsTest, AreNotMadeOfWhatControlCannotRead) {
  for (const std::string file : {"-", "/dev/fd/63", "/proc/self/fd/3"}) {
    const Ran ran = run_with_socket({"apply", file});
    EXPECT_EQ(ran.exit_code, 2);
    EXPECT_THAT(ran.error, HasSubstr("control reads the file itself"));
  }
  EXPECT_THAT(run_with_socket({"apply", "b.yaml", "--confirm", "0s"}).error,
              HasSubstr("'confirm_ms' must be milliseconds"));
  EXPECT_TRUE(calls().empty());
}

TEST_F(CliRevisionsTest, AreComparedLineByLine) {
  EXPECT_EQ(run_with_socket({"diff", "1", "3"}).out,
            "--- revision 1\n"
            "+++ revision 3\n"
            "@@ -1,3 +1,3 @@\n"
            " # file a.yaml\n"
            " version: 1\n"
            "-x: 1\n"
            "+x: 2\n");
  EXPECT_EQ(run_with_socket({"diff"}).out, "revision 3 and /etc/a.yaml are equal\n");
  EXPECT_THAT(run_with_socket({"diff", "1"}).out, HasSubstr("+++ /etc/a.yaml\n"));
}

TEST_F(CliRevisionsTest, ThatAreNotThereAreNotCompared) {
  const Ran missing = run_with_socket({"diff", "9"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.error, HasSubstr("there is no revision 9"));
  EXPECT_THAT(run_with_socket({"diff", "x/y"}).error,
              HasSubstr("'x/y' is neither a revision's number nor file"));
  EXPECT_EQ(run_with_socket({"diff", "1", "2", "3"}).exit_code, 2);
}

}  // namespace
}  // namespace holdfast::control
