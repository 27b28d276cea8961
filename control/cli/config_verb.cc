// SPDX-License-Identifier: Apache-2.0
// See config_verb.h.
#include "control/cli/config_verb.h"

#include "control/cli/control_client.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <charconv>

namespace holdfast::control {

namespace json = boost::json;

void add_config_verb_options(Verb& verb, ConfigVerbOptions& options) {
  add_timeout(verb,
              "how long to wait; default " + duration_text(options.timeout),
              [&options](std::chrono::milliseconds timeout) { options.timeout = timeout; });
  add_connection(verb, options.connection);
  add_format(verb, options.format);
}

void add_reason(Verb& verb, ConfigVerbOptions& options) {
  verb.optional({"--reason", "TEXT", "why, for the log and the history"}, options.reason);
}

std::optional<std::uint64_t> revision_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size() && number != 0;
  return whole ? std::optional(number) : std::nullopt;
}

std::optional<json::object> body_with_revision(std::span<const std::string> revisions,
                                               Context& context) {
  json::object body;
  if (revisions.empty()) {
    return body;
  }
  const auto number = revision_number(revisions.front());
  if (!number || revisions.size() > 1) {
    context.fail(kExitUsage, "write one revision's number, as `holdfast history` lists it");
    return std::nullopt;
  }
  body["revision"] = *number;
  return body;
}

void send_config_verb(const std::string& target,
                      const json::object& body,
                      const ConfigVerbOptions& options,
                      Context& context) {
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const auto answer = ControlClient(sockets->control).post(target, body, options.timeout);
  if (answer) {
    print_answer(*answer, options.format, context);
  } else {
    context.fail(answer.error().exit_code, answer.error().text);
  }
}

}  // namespace holdfast::control
