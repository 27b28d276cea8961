// SPDX-License-Identifier: Apache-2.0
// `migrate`: one backend takes the place of another in one verb, and nobody else's slots move.
#include "control/publish/build.h"
#include "tests/unit/control/engine_fixture.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class MigrateTest : public EngineTest {
 protected:
  VerbResult migrate(const std::string& from, const std::string& to) {
    AdminRequest request = asked(AdminVerb::kMigrate, from);
    request.objects.push_back(to);
    return change(std::move(request));
  }
  dataplane::MemberSpec in_force(const std::string& backend) const {
    for (const dataplane::MemberSpec& one : forwarder->in_force.services.at(0).members) {
      if (one.backend == backend) {
        return one;
      }
    }
    return {};
  }
};

TEST_F(MigrateTest, GivesSlotsAndWeightToTheOtherAndDrainsTheFirst) {
  write(yaml(member("a", 11, 70) + ", " + member("b", 12) + ", " + member("spare", 13, 0)));
  begin_up();
  const VerbResult result = migrate("web/a", "web/spare");
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_THAT(result.members, ElementsAre("web/a"));
  EXPECT_THAT(result.lines,
              ElementsAre("web/spare is in the slots of a, of weight 70",
                          "web/a is draining: established flows live on, after 5m they are reset"));
  EXPECT_EQ(in_force("spare").maglev_key(), "a");
  EXPECT_EQ(in_force("spare").weight, 70U);
  EXPECT_EQ(in_force("a").maglev_key(), "spare");
  EXPECT_EQ(in_force("a").weight, 0U);
  EXPECT_EQ(in_force("b").maglev_key(), "b");
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_EQ(shown("spare"), kNew);
  EXPECT_THAT(migrate("web/a", "web/spare").lines,
              ElementsAre("web/spare has the slots of a already"));
}

TEST_F(MigrateTest, IsUndoneByTheOppositeMigration) {
  begin_up();
  const auto before = forwarder->in_force.services;
  ASSERT_EQ(migrate("web/a", "web/b").outcome, Outcome::kOk);
  ASSERT_EQ(migrate("web/b", "web/a").outcome, Outcome::kOk);
  EXPECT_EQ(in_force("a").slot_key, "");
  EXPECT_EQ(in_force("b").slot_key, "");
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_EQ(shown("b"), kKeep);
  ASSERT_EQ(undrain("web/b").outcome, Outcome::kOk);
  EXPECT_THAT(written().orders, IsEmpty());
}

TEST_F(MigrateTest, SurvivesARestartAndTheFirstOnesRemoval) {
  begin_up();
  ASSERT_EQ(migrate("web/a", "web/b").outcome, Outcome::kOk);
  restart();
  EXPECT_EQ(engine->status().adoption_state_changes, 0U);
  EXPECT_EQ(in_force("b").maglev_key(), "a");
  write(yaml(member("b", 12) + ", " + member("c", 13)));
  ASSERT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_EQ(in_force("b").maglev_key(), "a");
  write(yaml(kThree));  // another backend of the old name takes the free slots
  ASSERT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_EQ(in_force("b").maglev_key(), "a");
  EXPECT_EQ(in_force("a").maglev_key(), "b");
  ASSERT_EQ(view("b").drift.size(), 1U);
  EXPECT_EQ(view("b").drift[0].what, "slots of a");
}

TEST_F(MigrateTest, IsRefusedWhereTheOtherIsNotThereOrNotUp) {
  begin_up();
  EXPECT_EQ(migrate("web/a", "web/x").outcome, Outcome::kUsage);
  EXPECT_THAT(migrate("web/a", "web/x").lines, ElementsAre("there is no backend 'web/x'"));
  EXPECT_EQ(migrate("web/a", "web/a").outcome, Outcome::kRefused);
  EXPECT_EQ(migrate("web/x", "web/a").outcome, Outcome::kUsage);
  EXPECT_EQ(change(asked(AdminVerb::kMigrate, "web/a")).outcome, Outcome::kUsage);
  prober.dead = {12};
  pass(1s);
  EXPECT_THAT(migrate("web/a", "web/b").lines, ElementsAre("web/b is not up: down"));
  prober.dead = {};
  pass(1s);
  ASSERT_EQ(change(asked(AdminVerb::kMaintenance, "web/b")).outcome, Outcome::kOk);
  EXPECT_THAT(migrate("web/a", "web/b").lines,
              ElementsAre("web/b is maintenance: enable it first"));
  EXPECT_EQ(shown("a"), kNew);
}

TEST_F(MigrateTest, IsRefusedAcrossTiersAndBelowTheMinCapacity) {
  write(
      yaml(member("a", 11) + ", " + member("b", 12) + ", {name: c, address: 10.0.3.13, tier: 1}") +
      "    min_capacity: 3\n");
  begin_up();
  EXPECT_THAT(migrate("web/a", "web/c").lines, ElementsAre(HasSubstr("shares no slots with a")));
  EXPECT_THAT(migrate("web/a", "web/b").lines, ElementsAre(HasSubstr("left with 2 of 3")));
}

TEST(SlotKeys, AreEachTakenOnceWhoeverMigratedToWhom) {
  const std::vector<std::string> names = {"a", "b", "c"};
  const auto keys = [&](const std::vector<std::string>& ordered) {
    return slot_keys(names, ordered);
  };
  EXPECT_THAT(keys({"", "", ""}), ElementsAre("a", "b", "c"));
  EXPECT_THAT(keys({"", "a", ""}), ElementsAre("b", "a", "c"));
  EXPECT_THAT(keys({"", "a", "b"}), ElementsAre("c", "a", "b"));
  EXPECT_THAT(keys({"", "gone", ""}), ElementsAre("a", "gone", "c"));
  EXPECT_THAT(keys({"b", "c", "a"}), ElementsAre("b", "c", "a"));
}

}  // namespace
}  // namespace holdfast::control
