// SPDX-License-Identifier: Apache-2.0
// The verb `node`: what it sends, and how it waits for the traffic to go.
#include "tests/unit/cli/cli_verb_fixture.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;

class CliNodeTest : public CliVerbFixture {
 protected:
  CliNodeTest() {
    operator_.status_view.dataplane_connected = true;
    operator_.status_view.workers = {{.worker = 0, .counters = {{"forwarded", 7}}}};
  }
};

TEST_F(CliNodeTest, SendsEachOrderWithItsReason) {
  start();
  for (const std::string order : {"drain", "undrain", "active", "standby"}) {
    const Ran ran = run_with_socket({"node", order, "--reason", "new kernel"});
    EXPECT_EQ(ran.exit_code, 0);
    EXPECT_EQ(ran.out, "done\n");
    EXPECT_EQ(calls().back().verb, "node " + order);
    EXPECT_EQ(calls().back().caller.reason, "new kernel");
  }
}

TEST_F(CliNodeTest, WaitsUntilNoPacketComes) {
  int asked = 0;
  operator_.on_status = [&] {
    if (++asked <= 3) {
      ++operator_.status_view.workers[0].counters[0].value;
    }
  };
  start();
  const Ran ran = run_with_socket({"node", "drain", "--wait"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "done\nno packet has come for 1s: it can be stopped\n");
  EXPECT_GT(asked, 3);
}

TEST_F(CliNodeTest, SaysThatPacketsStillComeWhenTheTimeIsOver) {
  operator_.on_status = [this] { ++operator_.status_view.workers[0].counters[0].value; };
  start();
  const Ran ran = run_with_socket({"node", "drain", "--wait", "--timeout", "300ms"});
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_THAT(ran.error, HasSubstr("within 300ms: packets still come"));
}

TEST_F(CliNodeTest, DoesNotTakeASilentDataplaneForOneWithoutTraffic) {
  operator_.status_view.dataplane_connected = false;
  start();
  const Ran ran = run_with_socket({"node", "drain", "--wait", "--timeout", "1500ms"});
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_THAT(ran.error, HasSubstr("the dataplane does not answer"));
}

TEST_F(CliNodeTest, RefusesAnUnknownOrderAndAWaitForWhatHasNoEnd) {
  start();
  EXPECT_EQ(run_with_socket({"node", "stop"}).exit_code, 2);
  EXPECT_EQ(run_with_socket({"node", "active", "--wait"}).exit_code, 2);
  EXPECT_EQ(run_with_socket({"node", "drain", "--timeout", "5s"}).exit_code, 2);
  EXPECT_TRUE(calls().empty());
}

}  // namespace
}  // namespace holdfast::control
