// SPDX-License-Identifier: Apache-2.0
// What a probe is about: target and parameters, and nothing else. Two members that want the same
// check share one, and a reload that leaves it as it is keeps its phase and its probe in flight.
// Thresholds (rise, fall) belong to the member. Pure.
#pragma once

#include "config/model.h"

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::control {

struct CheckSpec {
  config::CheckType type = config::CheckType::kTcp;
  config::IpAddress address;
  std::uint16_t port = 0;
  std::chrono::milliseconds interval{1000};
  std::chrono::milliseconds timeout{500};
  // http
  std::string method;
  std::string path;
  std::string host;
  std::vector<std::pair<std::uint16_t, std::uint16_t>> status;  // accepted ranges, inclusive

  auto operator<=>(const CheckSpec&) const = default;
};

// The check of one member. The port is the check's, else the backend's, else the service's first.
// Requires: service.has_check, one port at least.
CheckSpec build_check(const config::Service& service, const config::Backend& backend);

// Where in its interval a check runs: spread by a hash of its identity, so that a thousand targets
// do not start together and a restart changes nothing.
std::chrono::nanoseconds phase_of(const CheckSpec& check);

// The whole request of an http check. Requires: no control characters in method, path and host.
std::string build_http_request(const CheckSpec& check);

bool accepts_status(const CheckSpec& check, int status);

}  // namespace holdfast::control
