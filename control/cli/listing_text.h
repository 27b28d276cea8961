// SPDX-License-Identifier: Apache-2.0
// Pieces of text that several listings have: times, and where the operator's word stands instead of
// the file's. Pure.
#pragma once

#include <string>
#include <string_view>

#include <boost/json/object.hpp>

namespace holdfast::control {

// "2026-11-26 23:59:59 UTC", "2026-11-26 23:59:59.123 UTC"; "-" for 0.
std::string date_text(double unix_ms);
std::string precise_date_text(double unix_ms);
std::string milliseconds_text(double seconds);
// The field's seconds as a duration.
std::string age_text(const boost::json::object& object, std::string_view key);
// "drift: web/a draining for 2m by uid=0(root) (kernel), then reset in 3m; the file says enabled"
std::string drift_text(const boost::json::object& backend, const boost::json::object& drift);

}  // namespace holdfast::control
