// SPDX-License-Identifier: Apache-2.0
// What the API's requests about flows say, read as strictly as the bodies of the other verbs: what
// is unknown, repeated, empty or out of range is refused, so that nothing means more flows than
// whoever wrote it thought. Pure.
//
// Which flows, as a query (/v1/flows?service=web&state=closing) or as keys of a body; any that is
// given has to hold:
//
//   service   its name
//   backend   its name, or SERVICE/BACKEND
//   source    an address of clients, or a prefix of them
//   vip       the address that clients ask for
//   port      of it: a number, or FIRST-LAST
//   protocol  tcp, udp
//   state     of kFlowStateNames; several: a list, in a query one after the other
//
// Of a query also: limit (0 to 10000), count (true: only how many there are). Of a reset: all,
// dry_run, reason. Of a move, which takes no others: from, to (SERVICE/BACKEND), dry_run, force,
// reason.
#pragma once

#include "control/admin/operator.h"

#include <expected>
#include <string>
#include <string_view>

namespace holdfast::control {

// `target` with its query, if there is one.
std::expected<FlowsQuery, std::string> read_flows_query(std::string_view target);
// Everything but the caller's name.
std::expected<FlowsReset, std::string> read_flows_reset(const std::string& body);
std::expected<FlowsMove, std::string> read_flows_move(const std::string& body);

// The states that a flow can be in: "half_open, established, ...".
std::string flow_states_text();

}  // namespace holdfast::control
