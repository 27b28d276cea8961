// SPDX-License-Identifier: Apache-2.0
#include "control/cli/program.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace holdfast::control {
namespace {

using AddVerb = void (*)(CLI::App& app, Context& context);

// In the order of the help text.
constexpr std::array<AddVerb, 30> kVerbs = {
    add_run,      add_control,       add_check,   add_startup, add_status,      add_services,
    add_backends, add_why,           add_drain,   add_undrain, add_maintenance, add_enable,
    add_weight,   add_clear_damping, add_migrate, add_flows,   add_node,        add_reload,
    add_upgrade,  add_health,        add_events,  add_plan,    add_apply,       add_confirm,
    add_history,  add_rollback,      add_diff,    add_trace,   add_replay,      add_version,
};

constexpr const char* kAbout =
    "Holdfast, a layer-4 load balancer: the control plane and the operator's tool.";
constexpr const char* kFooter =
    "`holdfast VERB --help` tells the options of a verb.\n"
    "Exit codes: 0 ok, 1 check failed, 2 usage, 3 invalid configuration, 4 not reachable,\n"
    "5 refused, 6 timed out, 77 this machine lacks something.";
constexpr std::size_t kHelpColumn = 32;

}  // namespace

void Context::fail(int code, const std::string& line) {
  error << "holdfast: " << line << '\n';
  exit_code = code;
}

void Context::check_output() {
  errno = 0;
  const bool flushed = out.rdbuf()->pubsync() == 0;
  if ((flushed && out.good()) || output_lost) {
    return;
  }
  const std::string why = errno == 0 ? "" : std::string(": ") + std::strerror(errno);
  output_lost = true;
  fail(exit_code == kExitOk ? kExitFailed : exit_code, "cannot write the output" + why);
}

namespace {

void run_words(const std::vector<std::string>& words, Context& context) {
  CLI::App app(kAbout, "holdfast");
  app.require_subcommand(1);
  app.get_formatter()->column_width(kHelpColumn);
  for (const AddVerb add : kVerbs) {
    add(app, context);
  }
  app.footer(kFooter);  // now, so that the verbs do not inherit it
  const auto is_named = [&](const CLI::App* verb) { return verb->get_name() == words.front(); };
  if (!words.empty() && !words.front().starts_with('-') && app.get_subcommands(is_named).empty()) {
    context.fail(kExitUsage, "there is no verb '" + words.front() + "': see holdfast --help");
    return;
  }
  std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 wants them
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, context.out, context.error);
    context.exit_code = code == 0 ? kExitOk : kExitUsage;
  }
}

}  // namespace

int run_program(const std::vector<std::string>& words, Context& context) {
  run_words(words, context);
  context.check_output();
  return context.exit_code;
}

}  // namespace holdfast::control
