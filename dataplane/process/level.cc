// SPDX-License-Identifier: Apache-2.0
// See level.h.
#include "dataplane/process/level.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <ranges>

#include <sys/auxv.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr const char* kLevelVariable = "HOLDFAST_LEVEL";

#ifdef __x86_64__
struct Level {
  std::string_view name;
  bool (*present)();
};

// The same as the flags in cmake/levels.cmake. Each includes the one before.
constexpr std::array kLevels = {
    Level{"x86-64-v2", [] { return __builtin_cpu_supports("x86-64-v2") != 0; }},
    Level{"x86-64-v2-aes", [] { return __builtin_cpu_supports("aes") != 0; }},
    Level{"x86-64-v3", [] { return __builtin_cpu_supports("x86-64-v3") != 0; }},
    Level{"x86-64-v4",
          [] {
            return __builtin_cpu_supports("x86-64-v4") != 0 &&
                   __builtin_cpu_supports("vaes") != 0 && __builtin_cpu_supports("gfni") != 0;
          }},
};
#endif

bool contains(const std::vector<std::string_view>& levels, std::string_view level) {
  return std::ranges::find(levels, level) != levels.end();
}

std::string listed(const std::vector<std::string_view>& levels) {
  std::string text;
  for (const std::string_view level : levels) {
    text += (text.empty() ? "" : ", ") + std::string(level);
  }
  return text.empty() ? "none" : text;
}

Result<std::string> choose_asked(const LevelQuestion& question,
                                 const std::function<bool(std::string_view)>& installed) {
  const std::string wish = std::string(kLevelVariable) + "=" + std::string(question.asked);
  if (!contains(question.present, question.asked)) {
    return fail(ExitCode::kEnvironment,
                wish + ": this processor has no such level, but " + listed(question.present));
  }
  if (!installed(question.asked)) {
    return fail(ExitCode::kUsage, wish + ": no build of that level is installed");
  }
  return std::string(question.asked);
}

}  // namespace

std::vector<std::string_view> processor_levels() {
  std::vector<std::string_view> levels;
#ifdef __x86_64__
  __builtin_cpu_init();
  for (const Level& level : kLevels) {
    if (!level.present()) {
      break;
    }
    levels.push_back(level.name);
  }
#else
  levels.push_back(kPortableLevel);
#endif
  return levels;
}

Result<std::string> choose_level(const LevelQuestion& question,
                                 const std::function<bool(std::string_view)>& installed) {
  const auto own = std::ranges::find(question.present, question.own);
  if (own == question.present.end()) {
    return fail(ExitCode::kEnvironment,
                "this build is for " + std::string(question.own) +
                    ", which this processor is not: it has " + listed(question.present));
  }
  if (!question.asked.empty() && question.asked != question.own) {
    return choose_asked(question, installed);
  }
  if (question.asked.empty()) {
    for (auto better = question.present.end() - 1; better != own; --better) {
      if (installed(*better)) {
        return std::string(*better);
      }
    }
  }
  return std::string(question.own);
}

Result<void> become_best_build(char* const* arguments, std::string_view own) {
  std::error_code unreadable;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", unreadable);
  const auto builds = self.parent_path().parent_path() / "lib" / "holdfast";
  const auto build_of = [&](std::string_view level) {
    return (builds / level / "holdfast-dataplane").string();
  };
  const bool privileged = ::getauxval(AT_SECURE) != 0;
  const char* asked = privileged ? nullptr : std::getenv(kLevelVariable);
  const auto level = choose_level(
      {.own = own, .asked = asked == nullptr ? "" : asked, .present = processor_levels()},
      [&](std::string_view name) {
        return !unreadable && !privileged && ::access(build_of(name).c_str(), X_OK) == 0;
      });
  if (!level) {
    return std::unexpected(level.error());
  }
  if (*level == own) {
    return {};
  }
  ::execv(build_of(*level).c_str(), arguments);
  return fail(ExitCode::kEnvironment,
              "cannot run " + build_of(*level) + ": " + std::strerror(errno));
}

}  // namespace holdfast::dataplane
