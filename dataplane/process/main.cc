// SPDX-License-Identifier: Apache-2.0
// holdfast-dataplane --startup FILE: forwards until SIGTERM. FILE is the seam's serialised Startup
// message, written by `holdfast startup`. No other configuration is read here. With --rehearse it
// says only whether it could: `holdfast upgrade` asks. With --succeed it takes over from the one
// that runs (predecessor.h), and ends once another process of it forwards. The first thing it does
// is to become the build for this processor (level.h).
#include "dataplane/api/codec.h"
#include "dataplane/fnv.h"
#include "dataplane/process/boot.h"
#include "dataplane/process/level.h"
#include "dataplane/process/process.h"

#include <cstdio>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <rte_version.h>

namespace {

using holdfast::dataplane::ExitCode;
using holdfast::dataplane::fail;
using holdfast::dataplane::ProcessOptions;
using holdfast::dataplane::Result;

constexpr std::string_view kUsage =
    "usage: holdfast-dataplane --startup FILE [--user NAME] [--rehearse | --succeed] | --version";
constexpr std::streamsize kLongestStartup = 1 << 20;

Result<void> load_startup(const std::string& path, ProcessOptions& options) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return fail(ExitCode::kInvalid, fmt::format("cannot read the start-up message {}", path));
  }
  std::string bytes(static_cast<std::size_t>(kLongestStartup), '\0');
  file.read(bytes.data(), kLongestStartup);
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  holdfast::seam::Startup message;
  if (bytes.empty() || !message.ParseFromString(bytes)) {
    return fail(ExitCode::kInvalid, fmt::format("{} is no start-up message", path));
  }
  auto startup = holdfast::seam::from_wire(message);
  if (!startup) {
    return fail(ExitCode::kInvalid, fmt::format("start-up message {}: {}", path, startup.error()));
  }
  options.startup = std::move(*startup);
  options.startup_id = holdfast::dataplane::fnv1a(bytes);
  return {};
}

Result<ProcessOptions> read_arguments(std::span<char*> arguments) {
  ProcessOptions options;
  options.version = HOLDFAST_VERSION;
  std::string startup;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view name = arguments[i];
    if (name == "--rehearse" || name == "--succeed") {
      (name == "--rehearse" ? options.rehearse : options.succeed) = true;
      continue;
    }
    if ((name != "--startup" && name != "--user") || i + 1 == arguments.size()) {
      return fail(ExitCode::kUsage, std::string(kUsage));
    }
    (name == "--startup" ? startup : options.user) = arguments[++i];
  }
  if (startup.empty()) {
    return fail(ExitCode::kUsage, std::string(kUsage));
  }
  auto loaded = load_startup(startup, options);
  if (!loaded) {
    return std::unexpected(loaded.error());
  }
  return options;
}

Result<void> run(std::span<char*> arguments) {
  if (auto here = holdfast::dataplane::become_best_build(arguments.data(), HOLDFAST_LEVEL); !here) {
    return here;
  }
  if (arguments.size() == 2 && std::string_view(arguments[1]) == "--version") {
    fmt::print("holdfast-dataplane {} ({}, {})\n", HOLDFAST_VERSION, rte_version(), HOLDFAST_LEVEL);
    return {};
  }
  const auto options = read_arguments(arguments);
  if (!options) {
    return std::unexpected(options.error());
  }
  if (options->rehearse) {
    const auto said = holdfast::dataplane::rehearse(options->startup);
    if (said) {
      fmt::print("holdfast-dataplane {} ({}): {}\n", HOLDFAST_VERSION, HOLDFAST_LEVEL, *said);
    }
    return said ? Result<void>() : std::unexpected(said.error());
  }
  return holdfast::dataplane::run_process(*options);
}

}  // namespace

int main(int argc, char** argv) {
  const Result<void> done = run(std::span(argv, static_cast<std::size_t>(argc)));
  if (!done) {
    fmt::print(stderr, "holdfast-dataplane: error: {}\n", done.error().text);
    return static_cast<int>(done.error().code);
  }
  return 0;
}
