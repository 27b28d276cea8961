// SPDX-License-Identifier: Apache-2.0
// The verb `health`: whether traffic should come to this node, as its exit code; for keepalived's
// track_script and for people.
#include "control/cli/control_client.h"
#include "control/cli/json_fields.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <memory>

#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

constexpr std::chrono::milliseconds kHealthLimit{1'000};

struct HealthOptions {
  Connection connection;
  Format format = Format::kTable;
  bool quiet = false;
};

void show_health(const HealthOptions& options, Context& context) {
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const auto answer = ControlClient(sockets->control).get("/v1/health", kHealthLimit);
  if (!answer) {
    if (options.quiet) {
      context.exit_code = answer.error().exit_code;
    } else {
      context.fail(answer.error().exit_code, answer.error().text);
    }
    return;
  }
  if (!answer->contains("ready")) {  // a control of before, that has no such path
    print_answer(*answer, options.format, context);
    return;
  }
  context.exit_code = flag_field(*answer, "ready") ? kExitOk : kExitFailed;
  if (options.quiet) {
    return;
  }
  if (options.format == Format::kJson) {
    context.out << boost::json::serialize(*answer) << '\n';
    return;
  }
  if (context.exit_code == kExitOk) {
    context.out << "ready\n";
  }
  for (const std::string& reason : texts_field(*answer, "reasons")) {
    context.out << "not ready: " << reason << '\n';
  }
}

}  // namespace

void add_health(CLI::App& app, Context& context) {
  auto options = std::make_shared<HealthOptions>();
  Verb verb(app, "health", "Say whether traffic should come to this node; exit code 0: yes, 1: no");
  verb.flag({"-q,--quiet", "", "print nothing"}, options->quiet);
  add_connection(verb, options->connection);
  add_format(verb, options->format);
  verb.runs([options, &context] { show_health(*options, context); });
}

}  // namespace holdfast::control
