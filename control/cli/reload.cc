// SPDX-License-Identifier: Apache-2.0
// The verb `reload`: control reads its configuration again. --wait returns the real result, for
// systemd's ExecReload and for scripts.
#include "control/cli/control_client.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <algorithm>
#include <memory>

namespace holdfast::control {
namespace {

constexpr const char* kTarget = "/v1/reload";
constexpr std::chrono::milliseconds kSoon{1'000};

struct ReloadOptions {
  Connection connection;
  Format format = Format::kTable;
  std::string reason;
  bool wait = false;
  std::chrono::milliseconds timeout{30'000};
};

// What control says at once is told in any case; the result of what takes longer, with --wait only.
void reload(const ReloadOptions& options, Context& context) {
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const auto limit = options.wait ? options.timeout : std::min(options.timeout, kSoon);
  auto answer = ControlClient(sockets->control).post(kTarget, {{"reason", options.reason}}, limit);
  if (!answer && !options.wait && answer.error().exit_code == kExitTimedOut) {
    answer.emplace();
    add_outcome(*answer,
                Outcome::kOk,
                "control is still at the reload; `holdfast status` shows the result");
  }
  if (answer) {
    print_answer(*answer, options.format, context);
  } else {
    context.fail(answer.error().exit_code, answer.error().text);
  }
}

}  // namespace

void add_reload(CLI::App& app, Context& context) {
  auto options = std::make_shared<ReloadOptions>();
  Verb verb(app, "reload", "Make control read its configuration again");
  verb.flag({"--wait", "", "wait for the result, however long it takes up to --timeout"},
            options->wait);
  add_timeout(verb,
              "how long to wait; default " + duration_text(options->timeout),
              [options](std::chrono::milliseconds timeout) { options->timeout = timeout; });
  verb.optional({"--reason", "TEXT", "why, for the log"}, options->reason);
  add_connection(verb, options->connection);
  add_format(verb, options->format);
  verb.runs([options, &context] { reload(*options, context); });
}

}  // namespace holdfast::control
