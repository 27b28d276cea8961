// SPDX-License-Identifier: Apache-2.0
// See member_verb.h.
#include "control/cli/member_verb.h"

#include "control/cli/json_fields.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

bool may_mean_several(const std::string& object) {
  return !object.contains('/') || object.starts_with("tier:");
}

json::object body_of(const MemberVerb& options, const std::vector<std::string>& objects) {
  json::object body = options.body;
  json::array& list = body["objects"].emplace_array();
  for (const std::string& object : objects) {
    list.emplace_back(object);
  }
  if (!options.reason.empty()) {
    body["reason"] = options.reason;
  }
  if (options.dry_run) {
    body["dry_run"] = true;
  }
  if (options.force) {
    body["force"] = true;
  }
  return body;
}

// Which members an object stands for, before anything happens to them. What is wrong with it, the
// verb itself will say.
void list_meant(const std::string& target,
                const MemberVerb& options,
                const ControlClient& client,
                Context& context) {
  const bool pair = target == "/v1/migrate";
  for (const std::string& object : options.objects) {
    if (!may_mean_several(object)) {
      continue;
    }
    json::object body = body_of(options, pair ? options.objects : std::vector<std::string>{object});
    body["dry_run"] = true;
    body["force"] = true;
    const auto answer = client.post(target, body, kMemberVerbLimit);
    std::string members;
    for (const std::string& member :
         answer ? texts_field(*answer, "members") : std::vector<std::string>()) {
      members += ' ' + member;
    }
    if (!members.empty()) {
      context.out << object << ":" << members << '\n';
    }
    if (pair) {
      break;
    }
  }
}

}  // namespace

void add_member_options(Verb& verb, MemberVerb& options) {
  verb.optional({"--reason", "TEXT", "why, for the log and the journal"}, options.reason)
      .flag({"--dry-run", "", "only say what would change, or why it would be refused"},
            options.dry_run)
      .flag({"--force", "", "also when less than a service's min_capacity remains; logged"},
            options.force);
  add_connection(verb, options.connection);
  add_format(verb, options.format);
}

void add_ttl(Verb& verb, MemberVerb& options) {
  add_duration(verb,
               "--ttl",
               "it ends by itself after this; default: when it is undone",
               [&options](std::chrono::milliseconds ttl) { options.body["ttl_ms"] = ttl.count(); });
}

std::optional<json::object> send_member_verb(const std::string& name,
                                             const MemberVerb& options,
                                             const ControlClient& client,
                                             Context& context) {
  const std::string target = "/v1/" + name;
  if (options.format == Format::kTable) {
    list_meant(target, options, client, context);
  }
  auto answer = client.post(target, body_of(options, options.objects), kMemberVerbLimit);
  if (!answer) {
    context.fail(answer.error().exit_code, answer.error().text);
    return std::nullopt;
  }
  return std::move(*answer);
}

void run_member_verb(const std::string& name, const MemberVerb& options, Context& context) {
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const auto answer = send_member_verb(name, options, ControlClient(sockets->control), context);
  if (answer) {
    print_answer(*answer, options.format, context);
  }
}

}  // namespace holdfast::control
