// SPDX-License-Identifier: Apache-2.0
// The verb `run`: names the supervisor's children (supervisor.h) and lets it run.
#include "control/cli/program.h"
#include "control/cli/supervisor.h"
#include "control/cli/verb.h"

#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

struct RunOptions {
  std::string config;
  std::string dataplane;
  std::string run_directory = "/run/holdfast";
  std::string startup_file;
  std::string log;
};

SupervisorPlan make_plan(const RunOptions& options, const std::string& program) {
  const std::string beside = std::filesystem::path(program).replace_filename("holdfast-dataplane");
  const std::string dataplane = options.dataplane.empty() ? beside : options.dataplane;
  const std::string startup = options.startup_file.empty()
                                  ? options.run_directory + "/dataplane.startup"
                                  : options.startup_file;
  return {
      .run_directory = options.run_directory,
      .children = {{.name = "dataplane",
                    .command = {dataplane, "--startup", startup},
                    .prepare = {program, "startup", "--config", options.config, "--out", startup},
                    .prepared_file = startup},
                   {.name = "control",
                    .command = {program,
                                "control",
                                "--config",
                                options.config,
                                "--last-directory",
                                options.run_directory + "/control.directory"},
                    .prepare = {},
                    .prepared_file = {}}},
      .reloaded = "control"};
}

// Everything that this process and its children print goes there from now on.
bool redirect_output(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (file < 0) {
    return false;
  }
  const bool done = ::dup2(file, STDOUT_FILENO) >= 0 && ::dup2(file, STDERR_FILENO) >= 0;
  ::close(file);
  return done;
}

void run(const RunOptions& options, Context& context) {
  if (!options.log.empty() && !redirect_output(options.log)) {
    context.fail(kExitLacksSomething,
                 "cannot write " + options.log + ": " + std::generic_category().message(errno));
    return;
  }
  context.exit_code = Supervisor(make_plan(options, context.program)).run();
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  auto options = std::make_shared<RunOptions>();
  Verb(
      app, "run", "Start both processes and keep them running (labs, containers; else use systemd)")
      .required({"--config", "FILE", "the configuration"}, options->config)
      .optional({"--dataplane", "PATH", "holdfast-dataplane's path; default: beside this program"},
                options->dataplane)
      .optional({"--run-directory",
                 "PATH",
                 "for lock files and what the children are started with; default: " +
                     options->run_directory},
                options->run_directory)
      .optional({"--startup-file",
                 "PATH",
                 "what the dataplane is started with; default: in the run directory"},
                options->startup_file)
      .optional({"--log", "FILE", "append all output to this file"}, options->log)
      .runs([options, &context] { run(*options, context); });
}

}  // namespace holdfast::control
