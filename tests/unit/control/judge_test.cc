// SPDX-License-Identifier: Apache-2.0
// Judge: what results prove, and what streaks of them amount to.
#include "control/judge/judge.h"

#include <vector>

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;

constexpr Thresholds kJudgeRules{.rise = 3, .fall = 4};

Judgement after(Judgement state, const std::vector<Evidence>& evidence) {
  for (const Evidence one : evidence) {
    state = judge(state, one, kJudgeRules);
  }
  return state;
}

constexpr auto kPass = Evidence::kPass;
constexpr auto kDefinitive = Evidence::kDefinitive;
constexpr auto kAmbiguous = Evidence::kAmbiguous;
constexpr auto kVoid = Evidence::kVoid;

Judgement up() { return after({}, {kPass}); }

TEST(Judge, TakesANewMemberUpAtItsFirstPass) { EXPECT_EQ(up().health, Health::kUp); }

TEST(Judge, MakesASuspectOfAMemberThatFailsOnceAndAsksToConfirm) {
  const Judgement state = after(up(), {kAmbiguous});
  EXPECT_EQ(state.health, Health::kSuspect);
  EXPECT_TRUE(state.confirm);
  EXPECT_EQ(after(state, {kPass}).health, Health::kUp);
  EXPECT_FALSE(after(state, {kPass}).confirm);
}

TEST(Judge, TakesAMemberDownAtTheSecondDefinitiveFailureInARow) {
  EXPECT_EQ(after(up(), {kDefinitive, kDefinitive}).health, Health::kDown);
  EXPECT_EQ(after(up(), {kDefinitive, kAmbiguous, kDefinitive}).health, Health::kSuspect);
}

TEST(Judge, TakesAMemberDownAtFallFailuresOfAnyKind) {
  EXPECT_EQ(after(up(), {kAmbiguous, kAmbiguous, kAmbiguous}).health, Health::kSuspect);
  EXPECT_EQ(after(up(), {kAmbiguous, kAmbiguous, kAmbiguous, kAmbiguous}).health, Health::kDown);
}

TEST(Judge, DoesNotCountFailuresAcrossAPass) {
  Judgement state = up();
  for (int i = 0; i < 100; ++i) {
    state = after(state, {kAmbiguous, kAmbiguous, kAmbiguous, kPass});
  }
  EXPECT_EQ(state.health, Health::kUp);
}

TEST(Judge, BringsADeadMemberBackAfterRisePassesInARow) {
  const Judgement down = after(up(), {kDefinitive, kDefinitive});
  EXPECT_FALSE(down.confirm);
  EXPECT_EQ(after(down, {kPass, kPass, kAmbiguous, kPass, kPass}).health, Health::kDown);
  EXPECT_EQ(after(down, {kPass, kPass, kPass}).health, Health::kUp);
}

TEST(Judge, LeavesEverythingAsItIsAfterAVoidResult) {
  const Judgement suspect = after(up(), {kDefinitive});
  EXPECT_EQ(after(suspect, {kVoid}), suspect);
  EXPECT_EQ(after({}, {kVoid, kVoid}), Judgement{});
}

TEST(Judge, TakesANewMemberThatNeverAnswersDown) {
  EXPECT_EQ(after({}, {kDefinitive}).health, Health::kUnknown);
  EXPECT_TRUE(after({}, {kDefinitive}).confirm);
  EXPECT_EQ(after({}, {kDefinitive, kDefinitive}).health, Health::kDown);
}

TEST(Evidence, IsVoidWhenLateByOurOwnFaultOrFailedLocally) {
  ProbeResult result{.layer = Layer::kL4, .reason = Reason::kTimeout};
  EXPECT_EQ(evidence_of(result, 200ms), kAmbiguous);
  result.lateness = 100ms;
  EXPECT_EQ(evidence_of(result, 200ms), kAmbiguous);
  result.lateness = 101ms;
  EXPECT_EQ(evidence_of(result, 200ms), kVoid);
  EXPECT_EQ(evidence_of({.layer = Layer::kLocal, .reason = Reason::kLocal}, 200ms), kVoid);
}

TEST(Evidence, IsDefinitiveOnlyWhereNobodyCouldMistakeIt) {
  for (const Reason reason : {Reason::kRefused, Reason::kReset, Reason::kUnreachable}) {
    EXPECT_EQ(evidence_of({.layer = Layer::kL4, .reason = reason}, 1s), kDefinitive);
  }
  for (const Reason reason :
       {Reason::kTimeout, Reason::kClosed, Reason::kStatus, Reason::kGarbage}) {
    EXPECT_EQ(evidence_of({.layer = Layer::kL7, .reason = reason}, 1s), kAmbiguous);
  }
}

TEST(Reason, HasANameForEach) {
  for (const std::string_view name : kReasonNames) {
    EXPECT_FALSE(name.empty());
  }
}

TEST(Judge, HoldsAMemberBackThatRisesUnderItsPenalty) {
  Judgement member = after(up(), {kDefinitive, kDefinitive});
  member.held = true;
  member = after(member, {kPass, kPass});
  EXPECT_EQ(member.health, Health::kDown);
  member = after(member, {kPass});
  EXPECT_EQ(member.health, Health::kDamped);
  EXPECT_EQ(after(member, {kPass, kPass, kPass}).health, Health::kDamped);
  member.held = false;
  EXPECT_EQ(after(member, {kPass}).health, Health::kUp);
}

TEST(Judge, TakesADampedMemberUpOnlyAfterAsManyGoodProbesAsADeadOne) {
  Judgement member = after(up(), {kDefinitive, kDefinitive});
  member.held = true;
  member = after(member, {kPass, kPass, kPass, kDefinitive});
  EXPECT_EQ(member.health, Health::kDamped);
  EXPECT_TRUE(member.confirm);
  EXPECT_EQ(after(member, {kDefinitive}).health, Health::kDown);
  member.held = false;
  EXPECT_EQ(after(member, {kPass, kPass}).health, Health::kDamped);
  EXPECT_EQ(after(member, {kPass, kPass, kPass}).health, Health::kUp);
}

}  // namespace
}  // namespace holdfast::control
