// SPDX-License-Identifier: Apache-2.0
// Members that are down and the flows that they have: what a service's `on_down` makes of them, and
// when. Called by the roster; pure.
#pragma once

#include "config/model.h"
#include "control/engine/roster.h"
#include "control/probe/clock.h"
#include "dataplane/spec.h"

namespace holdfast::control {

// What a member of the service has while it is down and others answer. In `nat` no other member can
// go on with a TCP flow: rehashed is reset, but in turn.
dataplane::Disposition when_down(const config::Service& service);

// Whether a running member has that because it is down, or a suspect; `draining`: by order.
bool is_out(dataplane::Disposition disposition, bool draining);

// The newest good probe of the members that are not down.
Clock::TimePoint newest_pass(const ServiceEntry& service);

// Whether some flows still wait for a member that is down although others answer.
bool is_to_be_left(const ServiceEntry& service);

}  // namespace holdfast::control
