// SPDX-License-Identifier: Apache-2.0
// See event_log.h.
#include "control/engine/event_log.h"

#include <algorithm>
#include <chrono>

namespace holdfast::control {
namespace {

constexpr std::size_t kMaxValueBytes = 2048;

bool is_plain(char c) {
  const auto value = static_cast<unsigned char>(c);
  return value > 0x20 && value != 0x7f && c != '"' && c != '=' && c != '\\';
}

void append_escaped(std::string& out, char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto value = static_cast<unsigned char>(c);
  if (c == '\n') {
    out += "\\n";
  } else if (c == '"' || c == '\\') {
    out += {'\\', c};
  } else if (value < 0x20 || value == 0x7f) {
    out += {'\\', 'x', kDigits[value >> 4U], kDigits[value & 0xfU]};
  } else {
    out += c;
  }
}

void append_value(std::string& out, std::string_view value) {
  if (!value.empty() && std::ranges::all_of(value, is_plain)) {
    out += value.substr(0, kMaxValueBytes);
    return;
  }
  out += '"';
  for (const char c : value.substr(0, kMaxValueBytes)) {
    append_escaped(out, c);
  }
  out += '"';
}

}  // namespace

std::string log_line(std::string_view event, LogFields fields) {
  std::string out = "event=";
  append_value(out, event);
  for (const auto& [key, value] : fields) {
    out += ' ';
    out += key;
    out += '=';
    append_value(out, value);
  }
  return out;
}

EventLog::EventLog(const Clock& clock, Sink sink)
    : clock_(clock), sink_(std::move(sink)), filled_(clock.now()) {}

bool EventLog::take_token() {
  const Clock::TimePoint now = clock_.now();
  const std::chrono::duration<double> passed = now - filled_;
  filled_ = now;
  tokens_ = std::min(kBurst, tokens_ + passed.count() * kLinesPerSecond);
  if (tokens_ < 1) {
    return false;
  }
  tokens_ -= 1;
  return true;
}

void EventLog::event(Severity severity, std::string_view name, LogFields fields) {
  if (!take_token()) {
    ++suppressed_;
    ++suppressed_total_;
    return;
  }
  if (const std::uint64_t lost = std::exchange(suppressed_, 0); lost > 0) {
    sink_(Severity::kWarning, log_line("log.suppressed", {{"lines", std::to_string(lost)}}));
  }
  sink_(severity, log_line(name, fields));
}

}  // namespace holdfast::control
