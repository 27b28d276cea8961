// SPDX-License-Identifier: Apache-2.0
// The verbs `drain`, `undrain` and `migrate`. A drain takes effect before the verb returns; --wait
// then waits until the members have no flows left, and says how many are left when it gives up.
#include "control/cli/drain_wait.h"
#include "control/cli/json_fields.h"
#include "control/cli/member_verb.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{200};  // control's counters are 500 ms old at most

struct DrainOptions {
  MemberVerb verb;
  bool wait = false;
  std::optional<std::chrono::milliseconds> timeout;  // nullopt: as long as it takes
};

// Until the members have no flows left. Adds what it found to the answer's lines.
void wait_for_drain(const ControlClient& client,
                    const DrainOptions& options,
                    Clock::time_point start,
                    json::object& answer) {
  const std::vector<std::string> members = texts_field(answer, "members");
  std::string known;  // the members, when they could be asked last
  for (;;) {
    const auto backends = client.get("/v1/backends", kMemberVerbLimit);
    const DrainProgress progress = backends ? drain_progress(*backends, members) : DrainProgress{};
    if (progress.known && progress.flows == 0) {
      add_outcome(answer, Outcome::kOk, "no flows left");
      return;
    }
    if (backends) {
      known = progress.members;
    }
    if (options.timeout && Clock::now() + kPoll > start + *options.timeout) {
      // That the end of the time cut the last request off says nothing of the members.
      const bool cut_off = !backends && backends.error().exit_code == kExitTimedOut;
      const bool tells = backends || (cut_off && !known.empty());
      add_outcome(answer,
                  Outcome::kTimedOut,
                  "not drained within " + duration_text(*options.timeout) +
                      ", and still draining: " + (tells ? known : backends.error().text));
      return;
    }
    std::this_thread::sleep_for(kPoll);  // also while control is being started again
  }
}

void run_drain(const std::string& name, const DrainOptions& options, Context& context) {
  if (options.timeout && !options.wait) {
    context.fail(kExitUsage, "--timeout bounds --wait: give both, or neither");
    return;
  }
  const auto sockets = find_sockets(options.verb.connection, context);
  if (!sockets) {
    return;
  }
  const auto start = Clock::now();
  const ControlClient client(sockets->control, options.timeout);
  auto answer = send_member_verb(name, options.verb, client, context);
  if (!answer) {
    return;
  }
  if (options.wait && !options.verb.dry_run && outcome_in(*answer) == Outcome::kOk) {
    wait_for_drain(client, options, start, *answer);
  }
  print_answer(*answer, options.verb.format, context);
}

void add_then(Verb& verb, MemberVerb& options) {
  verb.read(
      {"--then", "END", "what follows the deadline: reset, keep or remove; default: the service's"},
      [&options](const std::string& then) -> std::string {
        constexpr std::array<std::string_view, 3> kEnds = {"reset", "keep", "remove"};
        options.body["then"] = then;
        return std::ranges::find(kEnds, then) != kEnds.end()
                   ? ""
                   : "'" + then + "' is none of reset, keep and remove";
      });
}

// --deadline, --then, --wait, --timeout
void add_terms(Verb& verb, const std::shared_ptr<DrainOptions>& options) {
  add_duration(verb,
               "--deadline",
               "when what is left ends; default: the service's",
               [options](std::chrono::milliseconds deadline) {
                 options->verb.body["deadline_ms"] = deadline.count();
               });
  add_then(verb, options->verb);
  verb.flag({"--wait", "", "wait until no flows are left"}, options->wait);
  add_timeout(verb,
              "how long to wait, with --wait; default: until the last flow has ended",
              [options](std::chrono::milliseconds timeout) { options->timeout = timeout; });
}

}  // namespace

void add_drain(CLI::App& app, Context& context) {
  auto options = std::make_shared<DrainOptions>();
  Verb verb(app, "drain", "Give backends no new flows; their established ones live on");
  verb.required({"OBJECT", "", kObjectHelp}, options->verb.objects);
  add_terms(verb, options);
  add_ttl(verb, options->verb);
  add_member_options(verb, options->verb);
  verb.runs([options, &context] { run_drain("drain", *options, context); });
}

void add_migrate(CLI::App& app, Context& context) {
  auto options = std::make_shared<DrainOptions>();
  auto to = std::make_shared<std::string>();
  options->verb.objects.resize(1);
  Verb verb(app, "migrate", "Let a backend take another's slots and weight, and drain that one");
  verb.required({"FROM", "", "SERVICE/BACKEND, or BACKEND in every service"},
                options->verb.objects.front())
      .required({"TO", "", "another backend of the same services, which is up"}, *to);
  add_terms(verb, options);
  add_member_options(verb, options->verb);
  verb.runs([options, to, &context] {
    options->verb.objects.push_back(*to);
    run_drain("migrate", *options, context);
  });
}

void add_undrain(CLI::App& app, Context& context) {
  auto options = std::make_shared<MemberVerb>();
  Verb verb(app, "undrain", "Let drained backends take new flows again");
  verb.required({"OBJECT", "", kObjectHelp}, options->objects);
  add_member_options(verb, *options);
  verb.runs([options, &context] { run_member_verb("undrain", *options, context); });
}

}  // namespace holdfast::control
