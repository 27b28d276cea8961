// SPDX-License-Identifier: Apache-2.0
// The log: one key=value line per event, at most so many a second, never blocking. What does not
// fit is dropped and counted, and the count is said once there is room again. Control thread.
#pragma once

#include "control/probe/clock.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace holdfast::control {

enum class Severity : std::uint8_t { kInfo, kWarning, kError };

// `event=state service=web backend=a cause="L4 refused"`: values are quoted where they must be, and
// bytes that a terminal could act on are escaped.
using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;
std::string log_line(std::string_view event, LogFields fields);

class EventLog {
 public:
  using Sink = std::function<void(Severity, const std::string&)>;
  static constexpr double kLinesPerSecond = 50;
  static constexpr double kBurst = 500;

  // Requires: `clock` outlives it. `sink` must not block.
  EventLog(const Clock& clock, Sink sink);
  void event(Severity severity, std::string_view name, LogFields fields);
  [[nodiscard]] std::uint64_t suppressed() const { return suppressed_total_; }

 private:
  bool take_token();

  const Clock& clock_;
  Sink sink_;
  double tokens_ = kBurst;
  Clock::TimePoint filled_;
  std::uint64_t suppressed_ = 0;  // since the last line
  std::uint64_t suppressed_total_ = 0;
};

}  // namespace holdfast::control
