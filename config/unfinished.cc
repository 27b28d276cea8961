// SPDX-License-Identifier: Apache-2.0
// See unfinished.h.
#include "config/unfinished.h"

#include <algorithm>

namespace holdfast::config {
namespace {

// A quote or '#' within a plain text is a character like others.
bool starts_token(std::string_view text, std::size_t at) {
  constexpr std::string_view kBefore = " \t\n[{,";
  return at == 0 || kBefore.find(text[at - 1]) != std::string_view::npos;
}

// Offset behind the quoted text at `at`; text.size(): it never ends.
std::size_t end_of_quote(std::string_view text, std::size_t at) {
  const char quote = text[at];
  for (++at; at < text.size(); ++at) {
    const bool doubled = quote == '\'' && text.substr(at + 1).starts_with(quote);
    if ((text[at] == '\\' && quote == '"') || (text[at] == quote && doubled)) {
      ++at;  // the next one is not the end either
    } else if (text[at] == quote) {
      return at + 1;
    }
  }
  return text.size();
}

}  // namespace

std::optional<std::size_t> find_long_quote(std::string_view text,
                                           std::size_t from,
                                           std::size_t longest) {
  while ((from = text.find_first_of("#\"'", from)) != std::string_view::npos) {
    if (!starts_token(text, from)) {
      ++from;
    } else if (text[from] == '#') {
      from = std::min(text.find('\n', from), text.size());
    } else {
      const std::size_t end = end_of_quote(text, from);
      if (end - from > longest || end == text.size()) {
        return from;
      }
      from = end;
    }
  }
  return std::nullopt;
}

}  // namespace holdfast::config
