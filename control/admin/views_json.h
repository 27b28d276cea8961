// SPDX-License-Identifier: Apache-2.0
// The views of operator.h as JSON, as the API answers them and `-o json` prints them. Keys are the
// views' field names; lists of named counts become objects, {"forwarded": 12}. Pure, any thread.
#pragma once

#include "control/admin/operator.h"

#include <span>
#include <string_view>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace holdfast::control {

boost::json::object to_json(const StatusView& status);
boost::json::object to_json(const ServiceView& service);
boost::json::object to_json(const BackendView& backend);
boost::json::object to_json(const WhyView& why);
boost::json::object to_json(const VerbResult& result);
boost::json::object to_json(const RevisionView& revision);
boost::json::object to_json(const SourcesView& sources);
boost::json::object to_json(const EventView& event);
boost::json::object to_json(const FlowView& flow);
// {"matched": 12, "flows": [...]}, or the outcome where there are none to tell.
boost::json::object to_json(const FlowsView& view);

// {"services": [...]}, {"backends": [...]}, {"revisions": [...]}.
boost::json::object services_json(std::span<const ServiceView> services);
boost::json::object backends_json(std::span<const BackendView> backends);
// {"ready": no reason against it, "reasons": [...]}.
boost::json::object health_json(std::span<const std::string> reasons);
boost::json::object revisions_json(std::span<const RevisionView> revisions);
boost::json::object events_json(std::span<const EventView> events);

// "ok", "failed", "usage", "invalid_configuration", "unreachable", "refused", "timed_out".
std::string_view outcome_name(Outcome outcome);
// The other way; kFailed for a name that is not among them.
Outcome outcome_of(std::string_view name);

}  // namespace holdfast::control
