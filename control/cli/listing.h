// SPDX-License-Identifier: Apache-2.0
// The views as a person reads them: from the API's JSON to aligned text. A key that is missing (an
// older control) reads as "-", one that is new is ignored. Pure.
#pragma once

#include <string>

#include <boost/json/object.hpp>

namespace holdfast::control {

std::string status_text(const boost::json::object& status);
std::string services_text(const boost::json::object& services);
std::string backends_text(const boost::json::object& backends);
std::string revisions_text(const boost::json::object& revisions);
std::string events_text(const boost::json::object& events);
std::string why_text(const boost::json::object& why);
std::string flows_text(const boost::json::object& flows);
// One entry of the ledger as it stands, in a line.
std::string event_line(const boost::json::object& event);

}  // namespace holdfast::control
