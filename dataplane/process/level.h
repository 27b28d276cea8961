// SPDX-License-Identifier: Apache-2.0
// Which build of the dataplane runs on this processor. A package has one executable for the least
// processor it supports, where everybody looks for it, and better ones (cmake/levels.cmake) in
// ../lib/holdfast/LEVEL/ beside it; the first becomes the best of those that the processor has.
// Called by main() before anything else, and by tools/processor_levels.cc, which the build runs on
// its own machine; so it needs the standard library only.
#pragma once

#include "dataplane/process/failure.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::dataplane {

// The level of a build for another architecture, of which there is but one.
inline constexpr std::string_view kPortableLevel = "portable";

// The levels that this processor and its kernel have, from the least to the best.
std::vector<std::string_view> processor_levels();

struct LevelQuestion {
  std::string_view own;                   // what the program that asks was built for
  std::string_view asked;                 // what the operator wants; empty: the best
  std::vector<std::string_view> present;  // processor_levels()
};

// The level to run at, of own and those that `installed` has. Pure but for `installed`.
// Fails when the processor lacks own or asked (kEnvironment), or asked is not installed (kUsage).
Result<std::string> choose_level(const LevelQuestion& question,
                                 const std::function<bool(std::string_view)>& installed);

// Becomes the build that choose_level() names, in this process: pid, arguments, descriptors and
// environment stay. Returns when that is this one. The environment's HOLDFAST_LEVEL asks.
// A program that has capabilities by its file stays what it is, because it would lose them.
// Requires: `arguments` as main() got them. Errors: of choose_level(); kEnvironment.
Result<void> become_best_build(char* const* arguments, std::string_view own);

}  // namespace holdfast::dataplane
