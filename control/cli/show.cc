// SPDX-License-Identifier: Apache-2.0
// The verbs `status`, `services` and `backends`: what control says, or, while it does not answer,
// what the dataplane says.
#include "control/cli/control_client.h"
#include "control/cli/dataplane_views.h"
#include "control/cli/json_fields.h"
#include "control/cli/listing.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"

#include <memory>

#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kShowLimit{3'000};

// One listing: where control serves it, how the dataplane's answers become it, how it is read.
struct Listing {
  const char* name;
  const char* help;
  json::object (*from_dataplane)(const DataplaneAnswers&);
  std::string (*text)(const json::object&);
};

constexpr Listing kStatus = {
    "status", "Show how both processes are doing", dataplane_status, status_text};
constexpr Listing kServices = {"services",
                               "List the services with their backends and flows",
                               dataplane_services,
                               services_text};
constexpr Listing kBackends = {"backends",
                               "List every backend of every service with its health and flows",
                               dataplane_backends,
                               backends_text};

struct ShowOptions {
  Connection connection;
  Format format = Format::kTable;
};

void print(const json::object& answer, const Listing& listing, Format format, Context& context) {
  if (format == Format::kJson) {
    context.out << json::serialize(answer) << '\n';
  } else {
    context.out << listing.text(answer);
  }
}

void show(const Listing& listing, const ShowOptions& options, Context& context) {
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const auto answer =
      ControlClient(sockets->control).get(std::string("/v1/") + listing.name, kShowLimit);
  if (answer) {
    print(*answer, listing, options.format, context);
    if (const std::string why = text_field(*answer, "not_in_force"); why != "-") {
      context.fail(kExitFailed, "the configuration is not in force: " + why);
    }
    return;
  }
  const auto dataplane = ask_dataplane(sockets->dataplane, kShowLimit);
  if (!dataplane) {
    context.fail(answer.error().exit_code, answer.error().text);
    context.fail(answer.error().exit_code, "nor does the dataplane: " + dataplane.error());
    return;
  }
  context.fail(kExitOk,
               "control does not answer on " + sockets->control +
                   "; this is what the dataplane says of itself on " + sockets->dataplane);
  json::object shown = listing.from_dataplane(*dataplane);
  shown["source"] = "dataplane";
  print(shown, listing, options.format, context);
}

void add_listing(const Listing& listing, CLI::App& app, Context& context) {
  auto options = std::make_shared<ShowOptions>();
  Verb verb(app, listing.name, listing.help);
  add_connection(verb, options->connection);
  add_format(verb, options->format);
  verb.runs([&listing, options, &context] { show(listing, *options, context); });
}

}  // namespace

void add_status(CLI::App& app, Context& context) { add_listing(kStatus, app, context); }

void add_services(CLI::App& app, Context& context) { add_listing(kServices, app, context); }

void add_backends(CLI::App& app, Context& context) { add_listing(kBackends, app, context); }

}  // namespace holdfast::control
