// SPDX-License-Identifier: Apache-2.0
// See log.h.
#include "dataplane/process/log.h"

#include <atomic>
#include <chrono>
#include <string>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

// A pipe that polls as writable takes this much without blocking (pipe(7), PIPE_BUF).
constexpr std::size_t kLongestLine = 4096;

std::atomic<std::uint64_t> lines_lost{0};

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kNotice:
      return "notice";
    case LogLevel::kError:
      break;
  }
  return "error";
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

void log_line(LogLevel level, std::string_view event, std::string_view detail) {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto second = std::chrono::floor<std::chrono::seconds>(now);  // fmt 9 prints no fractions
  std::string line = fmt::format("time={:%Y-%m-%dT%H:%M:%S}.{:03}Z level={} event={} detail=\"{}\"",
                                 second,
                                 (now - second).count(),
                                 name_of(level),
                                 event,
                                 escaped(detail));
  line.resize(std::min(line.size(), kLongestLine - 1));
  line += '\n';
  pollfd ready{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0 ||
      ::write(STDERR_FILENO, line.data(), line.size()) < 0) {
    lines_lost.fetch_add(1, std::memory_order_relaxed);
  }
}

std::uint64_t log_lines_lost() { return lines_lost.load(std::memory_order_relaxed); }

}  // namespace holdfast::dataplane
