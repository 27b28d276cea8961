// SPDX-License-Identifier: Apache-2.0
// The verbs `drain` and `undrain`. A drain takes effect before the verb returns; --wait then waits
// until the members have no flows left, and says how many are left when it gives up.
#include "control/cli/control_client.h"
#include "control/cli/drain_wait.h"
#include "control/cli/json_fields.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <chrono>
#include <memory>
#include <optional>
#include <thread>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kVerbLimit{30'000};
constexpr std::chrono::milliseconds kPoll{200};  // control's counters are 500 ms old at most

struct Options {
  Connection connection;
  Format format = Format::kTable;
  std::string object;
  std::string reason;
  bool wait = false;
  std::optional<std::chrono::milliseconds> timeout;  // nullopt: as long as it takes
};

// Until the members have no flows left. Adds what it found to the answer's lines.
void wait_for_drain(const ControlClient& client, const Options& options, json::object& answer) {
  const auto start = Clock::now();
  for (;;) {
    const auto backends = client.get("/v1/backends", kVerbLimit);
    const DrainProgress progress =
        backends ? drain_progress(*backends, options.object) : DrainProgress{};
    if (progress.known && progress.flows == 0) {
      add_outcome(answer, Outcome::kOk, "no flows left");
      return;
    }
    if (options.timeout && Clock::now() + kPoll > start + *options.timeout) {
      const std::string last = backends ? progress.members : backends.error().text;
      add_outcome(answer,
                  Outcome::kTimedOut,
                  "not drained within " + duration_text(*options.timeout) +
                      ", and still draining: " + last);
      return;
    }
    std::this_thread::sleep_for(kPoll);  // also while control is being started again
  }
}

// Which members a bare name or a host stands for, before anything happens to them.
void list_meant(const ControlClient& client, const std::string& object, Context& context) {
  const auto backends = client.get("/v1/backends", kVerbLimit);
  if (!backends) {
    return;  // the verb itself will say so
  }
  std::string members;
  for (const json::object& backend : objects_field(*backends, "backends")) {
    if (is_meant(backend, object)) {
      members += ' ' + text_field(backend, "service") + '/' + text_field(backend, "name");
    }
  }
  if (!members.empty()) {
    context.out << object << ":" << members << '\n';
  }
}

void run(const std::string& name, const Options& options, Context& context) {
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const ControlClient client(sockets->control);
  if (options.format == Format::kTable && !options.object.contains('/')) {
    list_meant(client, options.object, context);
  }
  auto answer = client.post(
      "/v1/" + name, {{"object", options.object}, {"reason", options.reason}}, kVerbLimit);
  if (!answer) {
    context.fail(answer.error().exit_code, answer.error().text);
    return;
  }
  if (options.wait && outcome_in(*answer) == Outcome::kOk) {
    wait_for_drain(client, options, *answer);
  }
  print_answer(*answer, options.format, context);
}

void add_object(Verb& verb, Options& options) {
  verb.required({"OBJECT", "", "SERVICE/BACKEND, BACKEND (in every service) or host:ADDRESS"},
                options.object)
      .optional({"--reason", "TEXT", "why, for the log and the journal"}, options.reason);
  add_connection(verb, options.connection);
  add_format(verb, options.format);
}

}  // namespace

void add_drain(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  Verb verb(app, "drain", "Give backends no new flows; their established ones live on");
  add_object(verb, *options);
  verb.flag({"--wait", "", "wait until no flows are left"}, options->wait);
  add_timeout(verb,
              "how long to wait; default: until the last flow has ended",
              [options](std::chrono::milliseconds timeout) { options->timeout = timeout; });
  verb.runs([options, &context] { run("drain", *options, context); });
}

void add_undrain(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  Verb verb(app, "undrain", "Let drained backends take new flows again");
  add_object(verb, *options);
  verb.runs([options, &context] { run("undrain", *options, context); });
}

}  // namespace holdfast::control
