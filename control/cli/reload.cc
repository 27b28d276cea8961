// SPDX-License-Identifier: Apache-2.0
// The verb `reload`: control reads its configuration again. --wait returns the real result, for
// systemd's ExecReload and for scripts.
#include "control/cli/control_client.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb_answer.h"

#include <memory>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace holdfast::control {
namespace {

constexpr const char* kTarget = "/v1/reload";

struct Options {
  Connection connection;
  Format format = Format::kTable;
  std::string reason;
  bool wait = false;
  std::chrono::milliseconds timeout{30'000};
};

void reload(const Options& options, Context& context) {
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const ControlClient client(sockets->control);
  const boost::json::object body = {{"reason", options.reason}};
  if (options.wait) {
    const auto answer = client.post(kTarget, body, options.timeout);
    if (answer) {
      print_answer(*answer, options.format, context);
    } else {
      context.fail(answer.error().exit_code, answer.error().text);
    }
    return;
  }
  const auto sent = client.post_only(kTarget, body, options.timeout);
  if (!sent) {
    context.fail(sent.error().exit_code, sent.error().text);
    return;
  }
  boost::json::object answer;
  add_outcome(answer, Outcome::kOk, "asked control to reload; `holdfast status` shows the result");
  print_answer(answer, options.format, context);
}

}  // namespace

void add_reload(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("reload", "Make control read its configuration again");
  verb->add_flag("--wait", options->wait, "wait for the result; without it only ask");
  add_timeout(*verb, options->timeout);
  verb->add_option("--reason", options->reason, "why, for the log")->type_name("TEXT");
  add_connection(*verb, options->connection);
  add_format(*verb, options->format);
  verb->callback([options, &context] { reload(*options, context); });
}

}  // namespace holdfast::control
