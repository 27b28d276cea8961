// SPDX-License-Identifier: Apache-2.0
// What one probe found: the layer that decided, the reason, and how late we were ourselves. Made by
// the prober, read by judge, the views and the metrics. Plain values.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

namespace holdfast::control {

enum class Layer : std::uint8_t { kNone, kLocal, kL4, kL7 };
inline constexpr std::array<std::string_view, 4> kLayerNames = {"", "local", "L4", "L7"};

enum class Reason : std::uint8_t {
  kOk,
  kRefused,      // RST to our SYN
  kReset,        // RST later
  kUnreachable,  // ICMP, or no neighbour answered
  kTimeout,      // nothing that decides came before the deadline
  kClosed,       // ended before the answer was whole
  kStatus,       // http: a status outside the expected ranges
  kGarbage,      // http: not an HTTP/1.x answer, or longer than we read
  kLocal,        // we could not probe: descriptors, buffers, ports, permission, no route or link
  kCount
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(Reason::kCount)>
    kReasonNames = {
        "ok", "refused", "reset", "unreachable", "timeout", "closed", "status", "garbage", "local"};

constexpr std::string_view layer_name(Layer layer) {
  return kLayerNames[std::to_underlying(layer)];
}
constexpr std::string_view reason_name(Reason reason) {
  return kReasonNames[std::to_underlying(reason)];
}

struct ProbeResult {
  Layer layer = Layer::kNone;
  Reason reason = Reason::kOk;
  int detail = 0;  // kStatus and kOk of http: the status; kLocal: errno
  std::chrono::nanoseconds duration{0};
  // How much later than planned our own thread started the probe or noticed its deadline.
  std::chrono::nanoseconds lateness{0};
  bool operator==(const ProbeResult&) const = default;
};

}  // namespace holdfast::control
