// SPDX-License-Identifier: Apache-2.0
// Every state that judge and decide can reach for a service of up to three members, by breadth-
// first search over the real functions: the rules that must hold in each of them.
#include "control/decide/decide.h"

#include "control/judge/judge.h"

#include <array>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

// Small thresholds bound the search; streaks beyond them are cut, as they no longer matter.
constexpr Thresholds kThresholds{.rise = 2, .fall = 3};

struct Node {
  Admin admin = Admin::kEnabled;
  Judgement judgement;
  Disposition disposition = Disposition::kKeep;
  bool drained_once = false;  // a drain or a maintenance was asked for and not undone

  [[nodiscard]] auto key() const {
    return std::array<std::uint32_t, 9>{std::to_underlying(admin),
                                        std::to_underlying(judgement.health),
                                        judgement.passes,
                                        judgement.failures,
                                        judgement.definitive,
                                        judgement.confirm ? 1U : 0U,
                                        judgement.held ? 1U : 0U,
                                        std::to_underlying(disposition),
                                        drained_once ? 1U : 0U};
  }
};
using World = std::vector<Node>;

std::vector<std::uint32_t> key_of(const World& world) {
  std::vector<std::uint32_t> key;
  for (const Node& node : world) {
    const auto part = node.key();
    key.insert(key.end(), part.begin(), part.end());
  }
  return key;
}

constexpr std::size_t kEvidence = 5;  // 4 kinds, and its penalty that begins or ends to hold it
constexpr std::size_t kEvents = kEvidence + kAdminEventCount;

void apply(Node& node, std::size_t event) {
  if (event == 4) {
    node.judgement.held = !node.judgement.held;
    return;
  }
  if (event < 4) {
    Judgement& j = node.judgement;
    j = judge(j, static_cast<Evidence>(event), kThresholds);
    j.passes = std::min(j.passes, kThresholds.rise);
    j.failures = std::min(j.failures, kThresholds.fall);
    j.definitive = std::min(j.definitive, kDefinitiveFall);
    return;
  }
  const auto admin = static_cast<AdminEvent>(event - kEvidence);
  node.admin = next_admin(node.admin, admin);
  const bool asked = admin == AdminEvent::kDrain || admin == AdminEvent::kMaintain;
  node.drained_once = asked || (admin != AdminEvent::kEnable && node.drained_once);
}

ServiceDecision decide_world(World& world, Disposition when_down) {
  std::vector<MemberInput> inputs;
  for (const Node& node : world) {
    inputs.push_back({.state = {.admin = node.admin, .health = node.judgement.health},
                      .weight = 100,
                      .now = node.disposition,
                      .proved_dead = true});
  }
  ServiceDecision decision = decide(inputs, when_down);
  for (std::size_t i = 0; i < world.size(); ++i) {
    world[i].disposition = decision.members[i].disposition;
  }
  return decision;
}

std::string broken_rule(const World& world, const ServiceDecision& decision) {
  std::size_t usable = 0;
  std::size_t candidates = 0;  // enabled and ever probed
  std::size_t up = 0;
  std::size_t avoided_suspects = 0;
  bool unknown = false;
  std::size_t damped = 0;
  for (const Node& node : world) {
    const bool enabled = node.admin == Admin::kEnabled;
    const Health health = node.judgement.health;
    if (node.drained_once && node.disposition == Disposition::kNew) {
      return "a drain was undone by something else than the operator";
    }
    if (!enabled && node.disposition == Disposition::kAvoid) {
      return "a draining member shows as avoided";
    }
    if (enabled && health == Health::kUp && node.disposition != Disposition::kNew) {
      return "a member that is enabled and up takes no new flows";
    }
    if (health == Health::kUnknown && node.disposition == Disposition::kNew) {
      return "a member that was never probed takes new flows";
    }
    if (enabled && health == Health::kDown && node.disposition == Disposition::kNew &&
        !decision.last_resort) {
      return "a dead member takes new flows beside living ones";
    }
    damped += enabled && health == Health::kDamped ? 1U : 0U;
    usable += node.disposition == Disposition::kNew ? 1U : 0U;
    candidates += enabled && health != Health::kUnknown ? 1U : 0U;
    up += enabled && health == Health::kUp ? 1U : 0U;
    unknown = unknown || (enabled && health == Health::kUnknown);
    avoided_suspects +=
        health == Health::kSuspect && node.disposition == Disposition::kAvoid ? 1U : 0U;
  }
  if (candidates > 0 && !unknown && usable == 0) {
    return "a service with enabled members takes no new flows";
  }
  for (const Node& node : world) {
    const bool serves = node.disposition == Disposition::kNew;
    const bool held = node.judgement.health == Health::kDamped;
    if (held && node.admin == Admin::kEnabled && serves != (up == 0)) {
      return "a damped member serves exactly while no other is up";
    }
    if (damped > 0 && node.judgement.health == Health::kDown && serves) {
      return "a dead member takes new flows beside one that is damped";
    }
  }
  if (avoided_suspects > 0 &&
      (up + damped == 0 || avoided_suspects > suspects_allowed(world.size()))) {
    return "too many suspects are avoided";
  }
  return {};
}

std::size_t search(std::size_t members, Disposition when_down = Disposition::kAvoid) {
  std::set<std::vector<std::uint32_t>> seen;
  std::queue<World> open;
  World start(members);
  decide_world(start, when_down);
  seen.insert(key_of(start));
  open.push(start);
  while (!open.empty()) {
    const World world = open.front();
    open.pop();
    for (std::size_t member = 0; member < members; ++member) {
      for (std::size_t event = 0; event < kEvents; ++event) {
        World next = world;
        apply(next[member], event);
        const ServiceDecision decision = decide_world(next, when_down);
        const std::string broken = broken_rule(next, decision);
        if (!broken.empty()) {
          ADD_FAILURE() << broken << " after event " << event << " of member " << member;
          return seen.size();
        }
        if (seen.insert(key_of(next)).second) {
          open.push(next);
        }
      }
    }
  }
  return seen.size();
}

TEST(DecideSearch, HoldsItsRulesInEveryReachableStateOfOneMember) { EXPECT_GT(search(1), 20U); }

TEST(DecideSearch, HoldsItsRulesInEveryReachableStateOfTwoMembers) { EXPECT_GT(search(2), 500U); }

TEST(DecideSearch, HoldsItsRulesWhateverBecomesOfTheFlowsOfTheDead) {
  for (const Disposition when_down : {Disposition::kReset, Disposition::kRehash}) {
    EXPECT_GT(search(2, when_down), 500U);
  }
}

TEST(DecideSearch, AsksForConfirmationExactlyWhileAMemberIsInDoubt) {
  std::set<std::array<std::uint32_t, 9>> seen;
  std::queue<Node> open;
  open.push({});
  while (!open.empty()) {
    const Node node = open.front();
    open.pop();
    if (!seen.insert(node.key()).second) {
      continue;
    }
    const Judgement& j = node.judgement;
    const bool doubt = j.failures > 0 && j.health != Health::kDown;
    ASSERT_EQ(j.confirm, doubt);
    ASSERT_FALSE(j.passes > 0 && j.failures > 0);
    for (std::size_t event = 0; event < kEvidence; ++event) {
      Node next = node;
      apply(next, event);
      open.push(next);
    }
  }
}

}  // namespace
}  // namespace holdfast::control
