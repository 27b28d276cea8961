// SPDX-License-Identifier: Apache-2.0
// The bodies of the API's verbs, read as strictly as the configuration: unknown and repeated keys
// are refused. Pure.
//
//   objects      list of strings; also "object", a single one
//   reason       string
//   deadline_ms  drain, migrate: until `then` happens
//   then         drain, migrate: "reset", "keep" or "remove"
//   weight       weight: a number, or null for the file's
//   ttl_ms       drain, maintenance, weight: it ends by itself after this
//   dry_run      boolean: only say what would change
//   force        boolean: also below a service's min_capacity
#pragma once

#include "control/admin/operator.h"

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

namespace holdfast::control {

// Everything but the caller's name. The error is one sentence.
std::expected<AdminRequest, std::string> read_change(AdminVerb verb, const std::string& body);

// The verbs on configurations.
enum class ConfigVerb : std::uint8_t { kReload, kRollback, kPlan, kApply, kConfirm };

struct ConfigBody {
  std::optional<std::uint64_t> revision;  // rollback, confirm; nullopt where null or absent
  std::string path;                       // plan, apply: absolute
  std::chrono::milliseconds confirm{0};   // apply, "confirm_ms": from a second to a year; 0: absent
  std::string reason;                     // not of a plan
  bool force = false;                     // rollback, apply
};

// An empty body is one without keys.
std::expected<ConfigBody, std::string> read_config_body(ConfigVerb verb, const std::string& body);

}  // namespace holdfast::control
