// SPDX-License-Identifier: Apache-2.0
// What a binding's ports are called, as the configuration writes them. Pure, any thread.
#pragma once

#include "dataplane/spec.h"

#include <cstdint>
#include <string>

namespace holdfast::control {

// "tcp/80", "udp/5000-5010", "tcp/any". Requires: first <= last.
inline std::string port_rule(dataplane::Protocol protocol,
                             std::uint32_t first,
                             std::uint32_t last) {
  const std::string text = protocol == dataplane::Protocol::kTcp ? "tcp/" : "udp/";
  if (first == 1 && last == 65535) {
    return text + "any";
  }
  return text + std::to_string(first) + (last == first ? "" : "-" + std::to_string(last));
}

}  // namespace holdfast::control
