// SPDX-License-Identifier: Apache-2.0
// The `holdfast` program: one verb per file, each of which adds itself to the command line. A verb
// writes to the context's streams, sets its exit code (design.md §4) and touches no global state,
// so that tests run it in their own process.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace holdfast::control {

enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitInvalidConfiguration = 3,
  kExitUnreachable = 4,
  kExitRefused = 5,
  kExitTimedOut = 6,
  kExitLacksSomething = 77,
};

// What a verb has besides its own options. Outlives the parsing, at whose end the verb runs.
struct Context {
  std::ostream& out;
  std::ostream& error;
  std::string program;  // path of the running executable
  int exit_code = kExitOk;
  bool output_lost = false;  // and that was said

  // One line on the error stream, behind the program's name; sets the exit code.
  void fail(int code, const std::string& line);
  // Fails when something that was written to `out` has not arrived: a full disk, a closed pipe.
  void check_output();
};

// Each adds its verb as a subcommand whose callback runs it. Requires: `context` outlives `app`.
void add_run(CLI::App& app, Context& context);
void add_control(CLI::App& app, Context& context);
void add_check(CLI::App& app, Context& context);
void add_startup(CLI::App& app, Context& context);
void add_status(CLI::App& app, Context& context);
void add_services(CLI::App& app, Context& context);
void add_backends(CLI::App& app, Context& context);
void add_why(CLI::App& app, Context& context);
void add_drain(CLI::App& app, Context& context);
void add_undrain(CLI::App& app, Context& context);
void add_maintenance(CLI::App& app, Context& context);
void add_enable(CLI::App& app, Context& context);
void add_weight(CLI::App& app, Context& context);
void add_clear_damping(CLI::App& app, Context& context);
void add_migrate(CLI::App& app, Context& context);
void add_flows(CLI::App& app, Context& context);
void add_node(CLI::App& app, Context& context);
void add_reload(CLI::App& app, Context& context);
void add_upgrade(CLI::App& app, Context& context);
void add_health(CLI::App& app, Context& context);
void add_plan(CLI::App& app, Context& context);
void add_apply(CLI::App& app, Context& context);
void add_confirm(CLI::App& app, Context& context);
void add_events(CLI::App& app, Context& context);
void add_history(CLI::App& app, Context& context);
void add_rollback(CLI::App& app, Context& context);
void add_diff(CLI::App& app, Context& context);
void add_trace(CLI::App& app, Context& context);
void add_replay(CLI::App& app, Context& context);
void add_version(CLI::App& app, Context& context);

// Parses the words behind the program's name and runs the verb. Returns the exit code.
int run_program(const std::vector<std::string>& words, Context& context);

}  // namespace holdfast::control
