// SPDX-License-Identifier: Apache-2.0
// See drains.h.
#include "control/engine/drains.h"

#include <array>
#include <charconv>
#include <optional>

namespace holdfast::control {
namespace {

constexpr std::size_t kFields = 6;  // drain SERVICE BACKEND SINCE WHO REASON

std::string escaped(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto value = static_cast<unsigned char>(c);
    if (value <= 0x20 || value >= 0x7f || c == '%') {
      out += {'%', kDigits[value >> 4U], kDigits[value & 0xfU]};
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) {
      return std::nullopt;
    }
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

bool read_line(std::string_view line, Drains& drains) {
  std::array<std::string, kFields> fields;
  for (std::size_t i = 0; i < kFields; ++i) {
    const std::size_t blank = i + 1 < kFields ? line.find(' ') : line.size();
    auto field = blank == std::string_view::npos ? std::nullopt : unescaped(line.substr(0, blank));
    if (!field) {
      return false;
    }
    fields[i] = std::move(*field);
    line.remove_prefix(std::min(blank + 1, line.size()));
  }
  DrainOrder order{.since_unix_ms = 0, .who = fields[4], .reason = fields[5]};
  const std::string& since = fields[3];
  const auto [end, error] =
      std::from_chars(since.data(), since.data() + since.size(), order.since_unix_ms);
  if (fields[0] != "drain" || error != std::errc() || end != since.data() + since.size()) {
    return false;
  }
  drains[{fields[1], fields[2]}] = std::move(order);
  return true;
}

}  // namespace

std::string drains_to_text(const Drains& drains) {
  std::string out;
  for (const auto& [member, order] : drains) {
    out += "drain " + escaped(member.first) + ' ' + escaped(member.second) + ' ' +
           std::to_string(order.since_unix_ms) + ' ' + escaped(order.who) + ' ' +
           escaped(order.reason) + '\n';
  }
  return out;
}

DrainsRead drains_from_text(std::string_view text) {
  DrainsRead read;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0 && !read_line(text.substr(0, end), read.drains)) {
      ++read.damaged_lines;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return read;
}

}  // namespace holdfast::control
