// SPDX-License-Identifier: Apache-2.0
// The operator's drains: which members, since when, by whom and why. Written to disk before the
// verb answers, so that they outlive control and the machine. The text form is one line per drain,
// blanks in fields written as %20; a damaged line is skipped and counted, not guessed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace holdfast::control {

// (service, backend).
using MemberName = std::pair<std::string, std::string>;

struct DrainOrder {
  std::int64_t since_unix_ms = 0;
  std::string who;
  std::string reason;
  bool operator==(const DrainOrder&) const = default;
};

using Drains = std::map<MemberName, DrainOrder>;

std::string drains_to_text(const Drains& drains);

struct DrainsRead {
  Drains drains;
  std::size_t damaged_lines = 0;
};
DrainsRead drains_from_text(std::string_view text);

}  // namespace holdfast::control
