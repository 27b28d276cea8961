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

#include <expected>
#include <string>

namespace holdfast::control {

// Everything but the caller's name. The error is one sentence.
std::expected<AdminRequest, std::string> read_change(AdminVerb verb, const std::string& body);

// {"revision": a number, or null for the one before; "reason"; "force"}, or nothing.
std::expected<RollbackRequest, std::string> read_rollback(const std::string& body);

// A reload's body, which may be empty.
std::expected<std::string, std::string> read_reason(const std::string& body);

}  // namespace holdfast::control
