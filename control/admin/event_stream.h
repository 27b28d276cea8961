// SPDX-License-Identifier: Apache-2.0
// The ledger over HTTP as server-sent events (HTML Living Standard, §9.2): a reader gets every
// entry that there is, then each entry again whenever it changes. What it has not taken yet is not
// kept for it: who is slow gets an entry's newest state, once. Control thread.
//
//   id: LIFE-CHANGE                  for Last-Event-ID, after which the stream goes on
//   event: entry                     data: to_json(EventView)
//   event: gap                       entries that were asked for are kept no more; no data
//   :                                nothing new for kHeartbeat
#pragma once

#include "control/admin/http.h"
#include "control/admin/operator.h"

#include <chrono>
#include <string_view>

namespace holdfast::control {

inline constexpr std::chrono::milliseconds kHeartbeat{10'000};

// The stream from behind that id on; from the first entry when it is empty or none of ours.
// Requires: `target` outlives the response.
HttpResponse follow_events(Operator& target, std::string_view last_event_id);

}  // namespace holdfast::control
