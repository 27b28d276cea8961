// SPDX-License-Identifier: Apache-2.0
// Prints diagnostics. Source lines are hostile: every byte that a terminal could interpret is
// replaced, one column for one column.
#include "config/diagnostic.h"

#include "config/utf8.h"

#include <algorithm>
#include <cstddef>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kLongestQuote = 80;

// Appends text[from, to) as it can be shown, and returns how many columns that takes.
std::size_t append_shown(std::string& out,
                         std::string_view text,
                         std::size_t from,
                         std::size_t to) {
  std::size_t columns = 0;
  for (std::size_t i = from; i < to; ++columns) {
    const std::size_t length = printable_length(text, i);
    if (length == 0) {
      out += text[i] == '\t' ? ' ' : '?';
    } else {
      out += text.substr(i, length);
    }
    i += std::max<std::size_t>(length, 1);
  }
  return columns;
}

std::string shown(std::string_view text) {
  std::string out;
  append_shown(out, text, 0, text.size());
  return out;
}

void append_source(std::string& out, const Diagnostic& diagnostic) {
  const std::string_view line = diagnostic.line;
  const auto column = static_cast<std::size_t>(std::max(diagnostic.line_column, 1)) - 1;
  const auto length = static_cast<std::size_t>(std::max(diagnostic.length, 1));
  const std::size_t begin = std::min(column, line.size());
  const std::size_t end = std::min(begin + length, line.size());
  out += fmt::format("{:5} | ", diagnostic.place.line);
  const std::size_t indent = append_shown(out, line, 0, begin);
  const std::size_t under = append_shown(out, line, begin, end);
  append_shown(out, line, end, line.size());
  out += fmt::format("\n      | {:{}}^{:~<{}}", "", indent, "", under > 1 ? under - 1 : 0);
}

std::string count(std::size_t number, std::string_view noun) {
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

}  // namespace

std::string Place::text() const {
  return line > 0 ? fmt::format("{}:{}:{}", file, line, column) : file;
}

std::string quote(std::string_view text) {
  std::string out = "'";
  const std::size_t end = std::min(text.size(), kLongestQuote);
  for (std::size_t i = 0; i < end;) {
    const std::size_t length = printable_length(text, i);
    if (length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i]));
    } else {
      out += text.substr(i, length);
    }
    i += std::max<std::size_t>(length, 1);
  }
  return out + (end < text.size() ? "...'" : "'");
}

std::string render(const Diagnostic& diagnostic) {
  const std::string_view kind = diagnostic.severity == Severity::kError ? "error" : "warning";
  std::string out =
      shown(fmt::format("{}: {}: {}", diagnostic.place.text(), kind, diagnostic.message));
  out += '\n';
  const bool has_line = diagnostic.place.line > 0 && !diagnostic.line.empty();
  if (has_line) {
    append_source(out, diagnostic);
  }
  if (!diagnostic.help.empty()) {
    out += (has_line ? " " : "      = ") + shown(diagnostic.help);
  }
  if (has_line || !diagnostic.help.empty()) {
    out += '\n';
  }
  return out;
}

std::string render(std::span<const Diagnostic> diagnostics) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) {
    out += render(diagnostic);
  }
  const std::string closing = closing_line(diagnostics);
  return closing.empty() ? out : out + closing + '\n';
}

std::vector<std::string> rendered_lines(std::span<const Diagnostic> diagnostics) {
  std::vector<std::string> lines;
  std::string text = render(diagnostics);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.erase(0, end + 1);
  }
  return lines;
}

std::string closing_line(std::span<const Diagnostic> diagnostics) {
  const auto errors = static_cast<std::size_t>(
      std::ranges::count(diagnostics, Severity::kError, &Diagnostic::severity));
  const std::size_t warnings = diagnostics.size() - errors;
  if (errors == 0) {
    return warnings == 0 ? "" : count(warnings, "warning");
  }
  const std::string also = warnings == 0 ? "" : ", " + count(warnings, "warning");
  return count(errors, "error") + also + "; nothing was applied";
}

}  // namespace holdfast::config
