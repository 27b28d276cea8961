// SPDX-License-Identifier: Apache-2.0
// When traffic should come to a node, and the reasons against it.
#include "control/admin/readiness.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReadinessTest : public ::testing::Test {
 protected:
  ReadinessTest() {
    status_.dataplane_connected = true;
    status_.generation = 3;
    status_.counters_age_s = 0.4;
    status_.workers = {{.worker = 0}, {.worker = 1}};
    services_ = {{.name = "web", .usable = 2}, {.name = "dns", .usable = 0}};
  }
  [[nodiscard]] std::vector<std::string> reasons() const { return not_ready(status_, services_); }

  StatusView status_;
  std::vector<ServiceView> services_;
};

TEST_F(ReadinessTest, TakesOneServiceThatTakesFlows) { EXPECT_THAT(reasons(), IsEmpty()); }

TEST_F(ReadinessTest, DoesNotMindAFileThatIsNotInForce) {
  status_.not_in_force = "site.yaml:1: error";
  EXPECT_THAT(reasons(), IsEmpty());
}

TEST_F(ReadinessTest, EndsWhenNoBackendTakesNewFlowsAsInADrainOfTheNode) {
  services_[0].usable = 0;
  EXPECT_THAT(reasons(), ElementsAre("no service has a backend that takes new flows"));
}

TEST_F(ReadinessTest, EndsAfterASecondWithoutATurnOfAWorker) {
  status_.workers[1].silent_s = 1.0;
  EXPECT_THAT(reasons(), IsEmpty());
  status_.workers[1].silent_s = 1.26;
  EXPECT_THAT(reasons(), ElementsAre("worker 1 has not come round for 1.3 s"));
}

TEST_F(ReadinessTest, EndsWithADrainOfTheNodeAndTellsWhose) {
  status_.drained = DriftView{.what = "drained", .file = "", .who = "uid=0(root)", .reason = ""};
  EXPECT_THAT(reasons(), ElementsAre("the node is drained by uid=0(root)"));
}

TEST_F(ReadinessTest, WantsADataplaneThatAnswersAndAConfiguration) {
  status_.counters_age_s = 4;
  status_.generation = 0;
  EXPECT_THAT(
      reasons(),
      ElementsAre("the dataplane has not answered for 4.0 s", "no configuration is in force yet"));
  status_.dataplane_connected = false;
  EXPECT_THAT(reasons(), ElementsAre("the dataplane is not connected"));
}

}  // namespace
}  // namespace holdfast::control
