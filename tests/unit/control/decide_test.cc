// SPDX-License-Identifier: Apache-2.0
// Decide: the rules that need the whole service. The tables themselves are searched whole in
// tests/property/decide_test.cc.
#include "control/decide/decide.h"

#include <vector>

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

MemberInput member_input(Admin admin, Health health, Disposition now = Disposition::kNew) {
  return {.state = {.admin = admin, .health = health}, .weight = 100, .now = now};
}
MemberInput enabled(Health health, Disposition now = Disposition::kNew) {
  return member_input(Admin::kEnabled, health, now);
}

std::vector<Disposition> dispositions(const std::vector<MemberInput>& members) {
  std::vector<Disposition> result;
  for (const Decision& one : decide(members).members) {
    result.push_back(one.disposition);
  }
  return result;
}

using enum Disposition;

TEST(Decide, PrintsTheTableThatTheHeaderShows) {
  EXPECT_EQ(disposition_of(Admin::kEnabled, Health::kUnknown), kKeep);
  EXPECT_EQ(disposition_of(Admin::kEnabled, Health::kUp), kNew);
  EXPECT_EQ(disposition_of(Admin::kEnabled, Health::kSuspect), kAvoid);
  EXPECT_EQ(disposition_of(Admin::kEnabled, Health::kDown), kAvoid);
  EXPECT_EQ(disposition_of(Admin::kEnabled, Health::kDamped), kAvoid);
  for (const Health health :
       {Health::kUnknown, Health::kUp, Health::kSuspect, Health::kDown, Health::kDamped}) {
    EXPECT_EQ(disposition_of(Admin::kDraining, health), kKeep);
    EXPECT_EQ(disposition_of(Admin::kMaintenance, health), kKeep);
    EXPECT_EQ(disposition_of(Admin::kRemoved, health), kKeep);
    EXPECT_EQ(disposition_of(Admin::kDrained, health), kReset);
  }
}

TEST(Decide, AvoidsOneSuspectAtOnceWhileAnotherMemberIsUp) {
  EXPECT_EQ(dispositions({enabled(Health::kSuspect), enabled(Health::kUp), enabled(Health::kUp)}),
            (std::vector{kAvoid, kNew, kNew}));
}

TEST(Decide, KeepsTheTrafficOfASuspectThatNobodyCouldReplace) {
  EXPECT_EQ(dispositions({enabled(Health::kSuspect)}), (std::vector{kNew}));
  EXPECT_EQ(dispositions({enabled(Health::kSuspect), enabled(Health::kDown)}),
            (std::vector{kNew, kAvoid}));
  EXPECT_EQ(
      dispositions({enabled(Health::kSuspect), member_input(Admin::kDraining, Health::kUp, kKeep)}),
      (std::vector{kNew, kKeep}));
}

TEST(Decide, AvoidsAQuarterOfTheMembersOnSuspicionAndThoseAvoidedAlreadyStay) {
  std::vector<MemberInput> members(8, enabled(Health::kUp));
  members[0].state.health = Health::kSuspect;
  members[1].state.health = Health::kSuspect;
  members[7] = enabled(Health::kSuspect, kAvoid);
  EXPECT_EQ(dispositions(members),
            (std::vector{kAvoid, kNew, kNew, kNew, kNew, kNew, kNew, kAvoid}));
}

TEST(Decide, UsesDeadMembersAsTheLastResortButNeverDrainingOnes) {
  const std::vector<MemberInput> members = {enabled(Health::kDown, kAvoid),
                                            enabled(Health::kDown, kAvoid),
                                            member_input(Admin::kDraining, Health::kUp, kKeep),
                                            member_input(Admin::kDrained, Health::kUp, kReset)};
  EXPECT_EQ(dispositions(members), (std::vector{kNew, kNew, kKeep, kReset}));
  EXPECT_TRUE(decide(members).last_resort);
}

TEST(Decide, GivesADeadMemberWhatItsServiceWantsButForADrainedOneAndTheLastResort) {
  const std::vector<MemberInput> members = {enabled(Health::kDown),
                                            enabled(Health::kUp),
                                            enabled(Health::kSuspect),
                                            member_input(Admin::kMaintenance, Health::kDown, kKeep),
                                            member_input(Admin::kDrained, Health::kDown, kReset)};
  using enum Disposition;
  const auto disposition = [&](bool proved_dead) {
    MemberInput dead = members[0];
    dead.proved_dead = proved_dead;
    return decide(std::vector{dead, members[1]}, kRehash).members[0].disposition;
  };
  EXPECT_EQ(disposition(false), kAvoid) << "our own path may be what is down";
  EXPECT_EQ(disposition(true), kRehash);
  std::vector<MemberInput> answered = members;
  for (MemberInput& one : answered) {
    one.proved_dead = true;
  }
  const ServiceDecision decided = decide(answered, kRehash);
  EXPECT_EQ(decided.members[0].disposition, kRehash);
  EXPECT_EQ(decided.members[1].disposition, kNew);
  EXPECT_EQ(decided.members[2].disposition, kAvoid);
  EXPECT_EQ(decided.members[3].disposition, kRehash);
  EXPECT_EQ(decided.members[4].disposition, kReset);
  EXPECT_EQ(decide(std::vector{enabled(Health::kDown)}, kRehash).members[0].disposition, kNew);
}

TEST(Decide, WaitsForAMemberThatWasNeverProbedBeforeTheLastResort) {
  EXPECT_EQ(dispositions({enabled(Health::kDown, kAvoid), enabled(Health::kUnknown, kKeep)}),
            (std::vector{kAvoid, kKeep}));
}

TEST(Decide, TakesAMemberThatIsDownForLongOutOfTheTableUnlessItIsTheLastResort) {
  MemberInput dead = enabled(Health::kDown, kAvoid);
  dead.down_for_long = true;
  EXPECT_EQ(decide(std::vector{dead, enabled(Health::kUp)}).members[0].weight, 0U);
  EXPECT_EQ(decide(std::vector{dead, dead}).members[0].weight, 100U);
}

TEST(Decide, AnswersForAServiceWithoutMembers) {
  EXPECT_TRUE(decide({}).members.empty());
  EXPECT_FALSE(decide({}).last_resort);
}

}  // namespace
}  // namespace holdfast::control
