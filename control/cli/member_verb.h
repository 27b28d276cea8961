// SPDX-License-Identifier: Apache-2.0
// What the verbs on members share: their objects and options, and how they are sent. Before a verb
// acts, the CLI lists which members an object stands for that may stand for several.
#pragma once

#include "control/cli/control_client.h"
#include "control/cli/options.h"

#include <string>
#include <vector>

#include <boost/json/object.hpp>

namespace holdfast::control {

class Verb;
struct Context;

inline constexpr std::chrono::milliseconds kMemberVerbLimit{30'000};

struct MemberVerb {
  Connection connection;
  Format format = Format::kTable;
  std::vector<std::string> objects;
  boost::json::object body;  // further fields of the request (control/admin/verb_body.h)
  std::string reason;
  bool dry_run = false;
  bool force = false;
};

inline constexpr const char* kObjectHelp =
    "SERVICE/BACKEND, BACKEND (in every service), host:ADDRESS, tier:SERVICE/N or node (all)";

// --reason, --dry-run, --force and the connection's.
void add_member_options(Verb& verb, MemberVerb& options);
// --ttl DURATION
void add_ttl(Verb& verb, MemberVerb& options);

// What control answered; nullopt when it did not, which is said already.
std::optional<boost::json::object> send_member_verb(const std::string& name,
                                                    const MemberVerb& options,
                                                    const ControlClient& client,
                                                    Context& context);
// Finds control, sends the verb, prints the answer.
void run_member_verb(const std::string& name, const MemberVerb& options, Context& context);

}  // namespace holdfast::control
