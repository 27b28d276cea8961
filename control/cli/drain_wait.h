// SPDX-License-Identifier: Apache-2.0
// How far a drain has come, from the API's list of backends. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

namespace holdfast::control {

// True when a backend of the list is meant by SERVICE/BACKEND, BACKEND or host:ADDRESS.
bool is_meant(const boost::json::object& backend, std::string_view object);

struct DrainProgress {
  bool known = false;  // the dataplane says how many flows each of the members has
  std::uint64_t flows = 0;
  std::string members;  // "web/a: 12 flows, web-dsr/a: 3 flows": those that have any
};
DrainProgress drain_progress(const boost::json::object& backends, std::string_view object);

}  // namespace holdfast::control
