// SPDX-License-Identifier: Apache-2.0
// Members that are down and the flows that they have: what a service's `on_down` makes of them, and
// when. Flows that are reset or go elsewhere do not come back, and what is down may be our own
// path: so a member is proved dead only by a failure that began after another member had answered
// since the verdict. Called by the roster; pure.
#pragma once

#include "config/model.h"
#include "control/engine/roster.h"
#include "control/judge/judge.h"
#include "control/probe/clock.h"
#include "dataplane/spec.h"

namespace holdfast::control {

// What a member of the service has while it is proved dead. In `nat` no other member can go on with
// a TCP flow: rehashed is reset, but in turn.
dataplane::Disposition when_down(const config::Service& service);

// Whether a running member has that because it is down, or a suspect, and not by order.
bool is_out(dataplane::Disposition disposition, Admin admin);

// One more result of a member, whose health is judged already; `began`: when the probe did. True:
// it has proved the member dead, and the service is to be settled.
bool weigh_deaths(ServiceEntry& service,
                  Member& member,
                  Evidence evidence,
                  Clock::TimePoint began,
                  Clock::TimePoint now);

}  // namespace holdfast::control
