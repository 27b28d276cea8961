// SPDX-License-Identifier: Apache-2.0
// The verb `flows`: what it asks for, what it prints, and what it refuses by itself.
#include "tests/unit/cli/cli_verb_fixture.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CliFlowsTest : public CliVerbFixture {
 protected:
  CliFlowsTest() {
    operator_.flows_view.matched = 2;
    operator_.flows_view.flows.push_back({.service = "web",
                                          .backend = "a",
                                          .client = "2001:db8::7",
                                          .client_port = 4'000,
                                          .vip = "2001:db8::10",
                                          .port = 80,
                                          .protocol = "tcp",
                                          .mode = "dsr",
                                          .state = "established",
                                          .age_s = 12,
                                          .pool = "",
                                          .pool_port = 0});
  }
};

TEST_F(CliFlowsTest, ListsWhatMatches) {
  start();
  const Ran ran = run_with_socket({"flows",
                                   "--backend",
                                   "web/a",
                                   "--source",
                                   "2001:db8::/32",
                                   "--state",
                                   "established,closing",
                                   "--limit",
                                   "1"});
  EXPECT_EQ(ran.exit_code, 0) << ran.error;
  EXPECT_THAT(ran.out, HasSubstr("[2001:db8::7]:4000  [2001:db8::10]:80  tcp"));
  EXPECT_THAT(ran.out, HasSubstr("web/a"));
  EXPECT_THAT(ran.out, HasSubstr("1 of 2 flows are listed"));
  const FlowsQuery asked = thread_.run([&] { return operator_.flow_queries.at(0); });
  EXPECT_EQ(asked.which.service, "web");
  EXPECT_EQ(asked.which.backend, "a");
  EXPECT_EQ(asked.which.filter.source->bits, 32);
  EXPECT_EQ(asked.limit, 1U);
}

TEST_F(CliFlowsTest, CountsAndPrintsJson) {
  start();
  EXPECT_EQ(run_with_socket({"flows", "--count"}).out, "2\n");
  EXPECT_THAT(run_with_socket({"flows", "--json"}).out, HasSubstr("\"matched\":2"));
  EXPECT_THAT(run_with_socket({"flows", "-o", "json"}).out, HasSubstr("\"matched\":2"));
}

TEST_F(CliFlowsTest, ResetsAndMoves) {
  start();
  EXPECT_EQ(
      run_with_socket({"flows", "reset", "--service", "web", "--port", "80", "--reason", "x"}).out,
      "done\n");
  EXPECT_EQ(run_with_socket({"flows", "reset", "--all", "--dry-run"}).exit_code, 0);
  EXPECT_EQ(run_with_socket({"flows", "move", "web/a", "web/b", "--force"}).exit_code, 0);
  thread_.run([&] {
    EXPECT_EQ(operator_.flow_resets.at(0).which.filter.first_port, 80);
    EXPECT_EQ(operator_.flow_resets.at(0).caller.reason, "x");
    EXPECT_TRUE(operator_.flow_resets.at(1).all);
    EXPECT_TRUE(operator_.flow_resets.at(1).dry_run);
    EXPECT_EQ(operator_.flow_moves.at(0).to, "b");
    EXPECT_TRUE(operator_.flow_moves.at(0).force);
  });
}

TEST_F(CliFlowsTest, RefusesWhatDoesNotGoTogether) {
  start();
  const std::vector<std::vector<std::string>> wrong = {
      {"flows", "rest"},
      {"flows", "move", "web/a"},
      {"flows", "reset", "web/a"},
      {"flows", "move", "web/a", "web/b", "--source", "10.0.0.0/8"},
      {"flows", "move", "web/a", "web/b", "--all"},
      {"flows", "move", "web/a", "dns/b"},
      {"flows", "move", "a", "b"},
      {"flows", "--all"},
      {"flows", "--dry-run"},
      {"flows", "--reason", "x"},
      {"flows", "reset", "--service", "web", "--limit", "3"},
      {"flows", "reset", "--service", "web", "--count"},
      {"flows", "reset", "--service", "web", "--force"},
      {"flows", "reset", "--service", "web", "--all"},
      {"flows", "reset", "--service", ""},
      {"flows", "--port", "0"},
      {"flows", "--port", "80x"},
      {"flows", "--source", "10.0.0.1/8"},
      {"flows", "--state", "open"},
      {"flows", "--state", "udp,"},
      {"flows", "--limit", "x"},
      {"flows", "--service", "web", "--service", "dns"}};
  for (const std::vector<std::string>& words : wrong) {
    EXPECT_EQ(run_with_socket(words).exit_code, 2) << ::testing::PrintToString(words);
  }
  EXPECT_THAT(calls(), IsEmpty());
}

TEST_F(CliFlowsTest, ExitsAsTheAnswerSays) {
  operator_.result = {Outcome::kRefused, {"web/b is down"}};
  operator_.flows_view.result = {Outcome::kTimedOut, {"in time"}};
  start();
  const Ran refused = run_with_socket({"flows", "move", "web/a", "web/b"});
  EXPECT_EQ(refused.exit_code, 5);
  EXPECT_THAT(refused.error, HasSubstr("web/b is down"));
  EXPECT_EQ(run_with_socket({"flows"}).exit_code, 6);
  EXPECT_EQ(run({"flows", "--socket", directory_.file("none")}).exit_code, 4);
}

TEST_F(CliFlowsTest, ItsHelpNamesTheStates) {
  EXPECT_THAT(run({"flows", "--help"}).out, HasSubstr("half_open, established"));
}

}  // namespace
}  // namespace holdfast::control
