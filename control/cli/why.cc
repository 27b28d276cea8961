// SPDX-License-Identifier: Apache-2.0
// The verb `why`: how a backend came to be what it is, from the last change back to the results of
// its check.
#include "control/cli/control_client.h"
#include "control/cli/listing.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <memory>

#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

constexpr std::chrono::milliseconds kWhyLimit{3'000};

struct WhyOptions {
  Connection connection;
  Format format = Format::kTable;
  std::string object;
};

void explain(const WhyOptions& options, Context& context) {
  const std::size_t slash = options.object.find('/');
  if (slash == std::string::npos || options.object.find('/', slash + 1) != std::string::npos) {
    context.fail(kExitUsage, "write SERVICE/BACKEND: '" + options.object + "' is neither");
    return;
  }
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const auto answer = ControlClient(sockets->control).get("/v1/why/" + options.object, kWhyLimit);
  if (!answer) {
    context.fail(answer.error().exit_code, answer.error().text);
  } else if (answer->contains("outcome")) {
    print_answer(*answer, Format::kTable, context);
  } else if (options.format == Format::kJson) {
    context.out << boost::json::serialize(*answer) << '\n';
  } else {
    context.out << why_text(*answer);
  }
}

}  // namespace

void add_why(CLI::App& app, Context& context) {
  auto options = std::make_shared<WhyOptions>();
  Verb verb(app, "why", "Say why a backend is what it is, and show its check's last results");
  verb.required({"OBJECT", "", "SERVICE/BACKEND"}, options->object);
  add_connection(verb, options->connection);
  add_format(verb, options->format);
  verb.runs([options, &context] { explain(*options, context); });
}

}  // namespace holdfast::control
