// SPDX-License-Identifier: Apache-2.0
// Which of the installed builds runs on which processor.
#include "dataplane/process/level.h"

#include <set>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

const std::vector<std::string_view> kOlder = {"x86-64-v2", "x86-64-v2-aes"};
const std::vector<std::string_view> kNewer = {
    "x86-64-v2", "x86-64-v2-aes", "x86-64-v3", "x86-64-v4"};

std::function<bool(std::string_view)> only(std::set<std::string_view> installed) {
  return [installed = std::move(installed)](std::string_view level) {
    return installed.contains(level);
  };
}

TEST(Level, TheBestBuildThatIsInstalledAndThatTheProcessorHasIsChosen) {
  const auto all = only({"x86-64-v2-aes", "x86-64-v3", "x86-64-v4"});
  EXPECT_EQ(choose_level({.own = "x86-64-v2", .asked = "", .present = kNewer}, all), "x86-64-v4");
  EXPECT_EQ(choose_level({.own = "x86-64-v2", .asked = "", .present = kOlder}, all),
            "x86-64-v2-aes");
  EXPECT_EQ(choose_level({.own = "x86-64-v2", .asked = "", .present = kNewer}, only({"x86-64-v3"})),
            "x86-64-v3");
}

TEST(Level, ABuildWithoutABetterOneBesideItRunsItself) {
  EXPECT_EQ(choose_level({.own = "x86-64-v2", .asked = "", .present = kNewer}, only({})),
            "x86-64-v2");
  EXPECT_EQ(choose_level({.own = "portable", .asked = "", .present = {"portable"}}, only({})),
            "portable");
}

TEST(Level, ABetterBuildNeverBecomesALesserOneByItself) {
  const auto lesser = only({"x86-64-v2", "x86-64-v2-aes"});
  EXPECT_EQ(choose_level({.own = "x86-64-v3", .asked = "", .present = kNewer}, lesser),
            "x86-64-v3");
}

TEST(Level, WhatTheOperatorAsksForIsChosen) {
  const auto all = only({"x86-64-v2-aes", "x86-64-v3", "x86-64-v4"});
  for (const std::string_view asked : kNewer) {
    EXPECT_EQ(choose_level({.own = "x86-64-v2", .asked = asked, .present = kNewer}, all), asked);
    EXPECT_EQ(choose_level({.own = asked, .asked = asked, .present = kNewer}, only({})), asked);
  }
}

TEST(Level, WhatTheProcessorLacksIsRefusedByName) {
  const auto asked = choose_level({.own = "x86-64-v2", .asked = "x86-64-v4", .present = kOlder},
                                  only({"x86-64-v4"}));
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, ExitCode::kEnvironment);
  EXPECT_EQ(asked.error().text,
            "HOLDFAST_LEVEL=x86-64-v4: this processor has no such level, but x86-64-v2, "
            "x86-64-v2-aes");

  const auto own = choose_level({.own = "x86-64-v3", .asked = "", .present = kOlder}, only({}));
  ASSERT_FALSE(own);
  EXPECT_EQ(own.error().code, ExitCode::kEnvironment);
  EXPECT_EQ(own.error().text,
            "this build is for x86-64-v3, which this processor is not: it has x86-64-v2, "
            "x86-64-v2-aes");
}

TEST(Level, WhatIsNotInstalledIsRefused) {
  const auto asked =
      choose_level({.own = "x86-64-v2", .asked = "x86-64-v3", .present = kNewer}, only({}));
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, ExitCode::kUsage);
  EXPECT_EQ(asked.error().text, "HOLDFAST_LEVEL=x86-64-v3: no build of that level is installed");
}

}  // namespace
}  // namespace holdfast::dataplane
