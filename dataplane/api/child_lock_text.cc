// SPDX-License-Identifier: Apache-2.0
// See child_lock_text.h.
#include "dataplane/api/child_lock_text.h"

#include <fstream>
#include <iterator>
#include <sstream>

namespace holdfast::dataplane {

std::optional<std::string> start_time(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // The command's name, field 2, may hold anything, so counting begins behind its last parenthesis.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) {
    return std::nullopt;
  }
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) {
    fields >> field;
  }
  return fields ? std::optional(field) : std::nullopt;
}

std::string child_lock_text(pid_t pid) {
  return std::to_string(pid) + " " + start_time(pid).value_or("unknown") + "\n";
}

}  // namespace holdfast::dataplane
