// SPDX-License-Identifier: Apache-2.0
// The product against the reference model: random stories of traffic, time, dispositions,
// generations, neighbours and restarts, at least a million packets a run. After each command every
// verdict, reason, byte, port, member and counter must be equal.
//
// A failure prints the seed and the shortest story found that still fails, and a `reproduce=` text:
//   RC_PARAMS="reproduce=..." build/dev/tests/property_tests --gtest_filter='Model.*'
// tells that story again at once; RC_PARAMS="seed=..." repeats the whole run.
#include "tests/support/model/story.h"

#include <iostream>

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace holdfast::testing {
namespace {

constexpr std::size_t kCommandsPerSize = 11;

// One thing simpler at a time; zero is the simplest of each.
std::vector<FrameOp> simpler(const FrameOp& op) {
  std::vector<FrameOp> all;
  const auto without = [&](auto FrameOp::* field) {
    if (op.*field != FrameOp{}.*field) {
      all.push_back(op);
      all.back().*field = {};
    }
  };
  without(&FrameOp::oddity);
  without(&FrameOp::kind);
  without(&FrameOp::client);
  without(&FrameOp::client_port);
  without(&FrameOp::target);
  without(&FrameOp::flags);
  without(&FrameOp::size);
  without(&FrameOp::ttl);
  without(&FrameOp::argument);
  without(&FrameOp::pick);
  return all;
}

rc::Seq<Command> simpler_command(const Command& command) {
  const auto with = [command](std::vector<FrameOp> frames) {
    Command changed = command;
    changed.frames = std::move(frames);
    return changed;
  };
  if (command.what == Happening::kBurst) {
    const auto each = [](const FrameOp& op) { return rc::seq::fromContainer(simpler(op)); };
    return rc::seq::concat(rc::seq::map(rc::shrink::removeChunks(command.frames), with),
                           rc::seq::map(rc::shrink::eachElement(command.frames, each), with));
  }
  return rc::seq::map(rc::shrink::towards<std::uint32_t>(command.value, 0),
                      [command](std::uint32_t value) {
                        Command changed = command;
                        changed.value = value;
                        return changed;
                      });
}

rc::Seq<Story> simpler_story(const Story& story) {
  const auto with = [story](std::vector<Command> commands) {
    Story changed = story;
    changed.commands = std::move(commands);
    return changed;
  };
  const auto modes = rc::seq::map(rc::shrink::towards<std::uint16_t>(story.modes, 0),
                                  [story](std::uint16_t value) {
                                    Story changed = story;
                                    changed.modes = value;
                                    return changed;
                                  });
  std::vector<Story> plainer;
  if (story.small_tables) {
    plainer.push_back(story);
    plainer.back().small_tables = false;
  }
  if (story.tiny_tables) {
    plainer.push_back(story);
    plainer.back().tiny_tables = false;
  }
  if (story.affinities != 0) {
    plainer.push_back(story);
    plainer.back().affinities = 0;
  }
  if (story.shape != 0) {
    plainer.push_back(story);
    plainer.back().shape = 0;
  }
  if (story.vlans != 0) {
    plainer.push_back(story);
    plainer.back().vlans = 0;
  }
  return rc::seq::concat(
      rc::seq::fromContainer(plainer),
      rc::seq::map(rc::shrink::removeChunks(story.commands), with),
      rc::seq::map(rc::shrink::eachElement(story.commands, simpler_command), with),
      modes);
}

rc::Gen<Story> stories() {
  return [](const rc::Random& random, int size) {
    rc::Random source = random;
    return rc::shrinkable::shrinkRecur(
        random_story(source.next(), static_cast<std::size_t>(size) * kCommandsPerSize + 1),
        [](const Story& story) { return simpler_story(story); });
  };
}

// Reasons that no frame of a story can have: there is one worker, and room before every frame.
bool is_out_of_reach(Drop reason) {
  return reason == Drop::kDispatchFull || reason == Drop::kNoHeadroom;
}

// A run in which something never happened has not looked at it.
void expect_everything_happened(const Counts& counts) {
  EXPECT_GT(counts.forwarded, 0U);
  EXPECT_GT(counts.replied, 0U);
  EXPECT_GT(counts.to_kernel, 0U);
  EXPECT_GT(counts.held, 0U);
  EXPECT_GT(counts.released, 0U);
  EXPECT_GT(counts.flows_untracked, 0U);
  EXPECT_GT(counts.flows_rechosen, 0U);
  EXPECT_GT(counts.resets_sent, 0U);
  EXPECT_GT(counts.follow_previous, 0U);
  EXPECT_GT(counts.icmp_errors_forwarded, 0U);
  EXPECT_GT(counts.too_big_sent, 0U);
  EXPECT_GT(counts.too_big_limited, 0U);
  EXPECT_GT(counts.mss_clamped, 0U);
  EXPECT_GT(counts.mss_no_room, 0U);
  EXPECT_GT(counts.affinity_hits, 0U);
  EXPECT_GT(counts.affinity_full, 0U);
  for (std::size_t i = 0; i < counts.drops.size(); ++i) {
    const auto reason = static_cast<Drop>(i);
    EXPECT_TRUE(counts.drops[i] > 0 || is_out_of_reach(reason)) << drop_name(reason);
  }
}

TEST(Model, ForetellsEveryPacketOfRandomStories) {
  Counts counts;
  std::uint64_t told = 0;
  std::uint64_t left_early = 0;
  const bool held = rc::check("the product does what the model foretells", [&] {
    const Telling telling = tell(*stories());
    counts = counts + telling.counts;
    ++told;
    left_early += telling.crowded ? 1 : 0;
    if (telling.difference) {
      RC_FAIL(*telling.difference);
    }
  });
  std::cout << counts.received << " packets in " << told << " stories, " << left_early
            << " left early\n";
  ASSERT_TRUE(held);
  EXPECT_LE(left_early * 20, told) << "too many stories end in full buckets";
  if (counts.received > 500'000) {  // not for a story told again
    expect_everything_happened(counts);
  }
}

}  // namespace
}  // namespace holdfast::testing
