// SPDX-License-Identifier: Apache-2.0
// A problem of a configuration with its place, and how it is printed: like a compiler's message,
// with the source line and a caret. Made by the loader, printed by `holdfast check`, by the reload
// verb and at start-up. Values; any thread. Hostile bytes of a file never reach the terminal: what
// is not printable is escaped or replaced.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::config {

// 1-based position in a file, columns in bytes; line 0 means "no place" (a default, a whole file).
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  bool operator==(const Place&) const = default;
  // "site.yaml:12:5", or "site.yaml" without a line.
  [[nodiscard]] std::string text() const;
};

enum class Severity : std::uint8_t { kError, kWarning };

struct Diagnostic {
  Severity severity = Severity::kError;
  Place place;
  int length = 1;            // bytes to underline
  std::string message = {};  // "unknown key 'blance' in service 'web'"
  std::string help = {};     // "did you mean 'balance'?"; may be empty
  std::string line =
      {};               // the source line, or what is around the place in a long one; may be empty
  int line_column = 1;  // of the place within `line`
  bool operator==(const Diagnostic&) const = default;
};

// One message, its source line and its underline; each line ends in '\n'.
std::string render(const Diagnostic& diagnostic);

// Every message in order, then the closing line.
std::string render(std::span<const Diagnostic> diagnostics);
// The same as a list of lines, without their ends.
std::vector<std::string> rendered_lines(std::span<const Diagnostic> diagnostics);

// "2 errors, 1 warning; nothing was applied"; without errors "1 warning"; "" for none at all.
std::string closing_line(std::span<const Diagnostic> diagnostics);

// 'text' in quotes, cut at a readable length, with unprintable bytes as \xNN.
std::string quote(std::string_view text);

}  // namespace holdfast::config
