// SPDX-License-Identifier: Apache-2.0
// Two texts compared by diff(1), which every Debian has. Blocking.
#pragma once

#include <expected>
#include <string>

namespace holdfast::control {

struct NamedText {
  std::string name;
  std::string text;
};

// What `diff -u` prints, empty where they are equal; the error is one sentence.
std::expected<std::string, std::string> unified_diff(const NamedText& from, const NamedText& to);

}  // namespace holdfast::control
