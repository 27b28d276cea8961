// SPDX-License-Identifier: Apache-2.0
// How far a drain has come, from the API's list of backends. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <boost/json/object.hpp>

namespace holdfast::control {

struct DrainProgress {
  bool known = false;  // the dataplane says how many flows each of the members has
  std::uint64_t flows = 0;
  std::string members;  // "web/a: 12 flows, ends in about 30s, web-dsr/a: 3 flows": those with any
};
// `members`: "web/a". A member that has left the configuration counts too, while it has flows.
DrainProgress drain_progress(const boost::json::object& backends,
                             std::span<const std::string> members);

}  // namespace holdfast::control
