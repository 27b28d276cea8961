// SPDX-License-Identifier: Apache-2.0
// What a verb of the operator changes, or why it is refused, before anything happens: the objects
// as members, their orders, and what the verb would leave of each service. Pure; called by the
// engine on the control thread.
#pragma once

#include "control/admin/operator.h"
#include "control/engine/roster.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace holdfast::control {

struct PlannedChange {
  MemberName name;
  MemberOrders before;
  Roster::Order order;
  std::string line;  // "is draining: ..."; behind the member's name
};

struct VerbPlan {
  Outcome outcome = Outcome::kOk;    // kUsage, kRefused: `lines` say why, and nothing is to change
  std::vector<std::string> members;  // that are meant
  std::vector<PlannedChange> changes;
  std::vector<std::string> lines;       // of members that are so already, or why not
  std::vector<std::string> overridden;  // what would have been refused, but for `force`
};

// Any verb.
VerbPlan plan_verb(const Roster& roster, const AdminRequest& request, std::int64_t unix_ms);

// `migrate`: of each service the second object takes over slots and weight of the first one, which
// drains. Refused where the second one is not there, not up, or cannot have the same slots.
VerbPlan plan_migration(const Roster& roster, const AdminRequest& request, std::int64_t unix_ms);

// "established flows live on, after 5m they are reset"
std::string terms_text(const config::Drain& drain);

// What has to change because orders have lived their time.
std::vector<PlannedChange> plan_expiry(const Roster& roster, Instant now);

// One sentence per service that the changes take capacity from and leave below its `min_capacity`.
std::vector<std::string> capacity_objections(const Roster& roster,
                                             std::span<const PlannedChange> changes);

}  // namespace holdfast::control
