// SPDX-License-Identifier: Apache-2.0
// The process's log: one key=value line per change of state on standard error. Main thread and
// start-up only; workers never log. A line is dropped and counted when standard error is a pipe
// that nobody reads, so that logging never blocks.
#pragma once

#include <cstdint>
#include <string_view>

namespace holdfast::dataplane {

enum class LogLevel : std::uint8_t { kInfo, kNotice, kError };

// Writes `level=... event=EVENT detail="DETAIL"`; control characters and quotes are escaped.
void log_line(LogLevel level, std::string_view event, std::string_view detail);

// Lines that standard error did not take.
std::uint64_t log_lines_lost();

}  // namespace holdfast::dataplane
