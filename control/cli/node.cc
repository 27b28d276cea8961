// SPDX-License-Identifier: Apache-2.0
// The verb `node`: what this node as a whole is told, by its operator or by what decides which one
// of a pair has the VIPs.
#include "control/cli/control_client.h"
#include "control/cli/json_fields.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kNodeLimit{5'000};
constexpr std::chrono::milliseconds kNodePoll{100};
constexpr double kStaleSeconds = 0.5;
// No packet was forwarded for so long: the traffic has gone elsewhere.
constexpr std::chrono::milliseconds kQuiet{1'000};

struct NodeOptions {
  Connection connection;
  Format format = Format::kTable;
  std::string order;
  std::string reason;
  bool wait = false;
  std::optional<std::chrono::milliseconds> timeout;
};

// Packets forwarded so far, over all workers; nullopt: nobody says.
std::optional<std::uint64_t> forwarded(const ControlClient& client) {
  const auto status = client.get("/v1/status", kNodeLimit);
  const bool fresh = status && flag_field(*status, "dataplane_connected") &&
                     number_field(*status, "counters_age_s") < kStaleSeconds;
  if (!fresh) {
    return std::nullopt;
  }
  std::uint64_t sum = 0;
  for (const json::object& worker : objects_field(*status, "workers")) {
    sum += count_field(object_field(worker, "counters"), "forwarded");
  }
  return sum;
}

void wait_for_quiet(const ControlClient& client, const NodeOptions& options, json::object& answer) {
  const Clock::time_point start = Clock::now();
  std::optional<std::uint64_t> last;
  Clock::time_point changed = start;
  for (;;) {
    const std::optional<std::uint64_t> now = forwarded(client);
    if (!now || now != last) {
      last = now;
      changed = Clock::now();
    } else if (Clock::now() - changed >= kQuiet) {
      add_outcome(answer, Outcome::kOk, "no packet has come for 1s: it can be stopped");
      return;
    }
    if (options.timeout && Clock::now() + kNodePoll > start + *options.timeout) {
      add_outcome(answer,
                  Outcome::kTimedOut,
                  "within " + duration_text(*options.timeout) +
                      (now ? ": packets still come" : ": the dataplane does not answer"));
      return;
    }
    std::this_thread::sleep_for(kNodePoll);
  }
}

void order_node(const NodeOptions& options, Context& context) {
  if ((options.timeout && !options.wait) || (options.wait && options.order != "drain")) {
    context.fail(kExitUsage, "--wait is for drain, and --timeout bounds --wait");
    return;
  }
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const ControlClient client(sockets->control, options.timeout);
  auto answer = client.post("/v1/node/" + options.order, {{"reason", options.reason}}, kNodeLimit);
  if (!answer) {
    context.fail(answer.error().exit_code, answer.error().text);
    return;
  }
  if (options.wait && outcome_in(*answer) == Outcome::kOk) {
    wait_for_quiet(client, options, *answer);
  }
  print_answer(*answer, options.format, context);
}

}  // namespace

void add_node(CLI::App& app, Context& context) {
  auto options = std::make_shared<NodeOptions>();
  Verb verb(app, "node", "Drain this node as a whole, or tell it which one of a pair it is");
  verb.required_choice({"ORDER",
                        "",
                        "drain: not ready, no routes to VIPs, until undrain; active: it has the "
                        "VIPs of a pair, standby: the other node has them"},
                       options->order,
                       {"drain", "undrain", "active", "standby"})
      .flag({"--wait", "", "of a drain: until no packet comes any more"}, options->wait)
      .optional({"--reason", "TEXT", "why, for the log"}, options->reason);
  add_timeout(verb,
              "how long to wait, with --wait; default: until no packet comes",
              [options](std::chrono::milliseconds timeout) { options->timeout = timeout; });
  add_connection(verb, options->connection);
  add_format(verb, options->format);
  verb.runs([options, &context] { order_node(*options, context); });
}

}  // namespace holdfast::control
