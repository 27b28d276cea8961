// SPDX-License-Identifier: Apache-2.0
// Finds what is no text. Offending bytes are replaced, so that the rest of the file is still read
// and its errors are named in the same run.
#include "config/text.h"

#include "config/utf8.h"

#include <algorithm>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kMostReported = 10;  // of each kind; a file with more is binary

std::string name_of(unsigned char byte) {
  if (byte == 0) {
    return "a NUL byte";
  }
  if (byte == '\r') {
    return "a carriage return without a line feed";
  }
  if (byte < 0x20 || byte == 0x7f) {
    return fmt::format("a control character (0x{:02x})", byte);
  }
  return fmt::format("not printable UTF-8 (byte 0x{:02x})", byte);
}

bool is_plain_whitespace(std::string_view text, std::size_t at) {
  return text[at] == '\n' || text[at] == '\t' ||
         (text[at] == '\r' && at + 1 < text.size() && text[at + 1] == '\n');
}

bool is_utf16(std::string_view text) {
  return text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
}

// A file of the old Macintosh: as one line it would only yield errors that hide the reason.
bool has_only_carriage_returns(std::string_view text) {
  return text.find('\n') == std::string_view::npos && text.find('\r') != std::string_view::npos &&
         text.find('\0') == std::string_view::npos;
}

bool is_readable(std::string_view text, std::size_t at) {
  return is_plain_whitespace(text, at) || printable_length(text, at) > 0;
}

// Replaces what is not printable; reports rows of it once. Returns false when there is too much.
bool replace_unprintable(std::uint16_t file, std::string& text, Journal& journal) {
  std::size_t reported = 0;
  bool all_ascii = true;
  for (std::size_t at = 0; at < text.size();) {
    if (is_readable(text, at)) {
      at += std::max<std::size_t>(printable_length(text, at), 1);
      continue;
    }
    all_ascii = all_ascii && static_cast<unsigned char>(text[at]) < 0x80;
    if (++reported > kMostReported) {
      journal.error({file, 0, 0, 1},
                    fmt::format("this is not a text file: too many {}",
                                all_ascii ? "control characters" : "bytes are not UTF-8 text"));
      return false;
    }
    const std::size_t begin = at;
    const std::string name = name_of(static_cast<unsigned char>(text[begin]));
    while (at < text.size() && !is_readable(text, at)) {
      text[at++] = kReplacement;
    }
    journal.error(journal.span_at(file, begin, at - begin), name);
  }
  return true;
}

// Replaces tabs in front of a line's text; returns whether there were any that matter.
bool replace_tabs(std::uint16_t file, std::string& text, Journal& journal) {
  std::size_t reported = 0;
  std::size_t line = 0;
  for (std::size_t tab = 0; (tab = text.find('\t', tab)) != std::string::npos;) {
    line = std::max(line, text.rfind('\n', tab) + 1);  // npos + 1 is the text's start
    const std::size_t first = text.find_first_not_of(" \t", line);
    if (first == std::string::npos || tab < first) {
      const std::size_t end = std::min(first, text.size());
      const bool has_text =
          end < text.size() && std::string_view("#\r\n").find(text[end]) == std::string_view::npos;
      if (has_text && ++reported <= kMostReported) {
        journal.error(
            journal.span_at(file, tab, 1), "a tab in the indentation", "indent with spaces");
      }
      std::replace(text.begin() + static_cast<std::ptrdiff_t>(tab),
                   text.begin() + static_cast<std::ptrdiff_t>(end),
                   '\t',
                   ' ');
      tab = end;
    } else {
      // A tab behind the line's text separates as a space does.
      tab = std::min(text.find('\n', tab), text.size());
    }
  }
  return reported > 0;
}

// Comments out directives: nothing they say is wanted.
void replace_directives(std::uint16_t file, std::string& text, Journal& journal) {
  std::size_t reported = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '%') {
      if (++reported <= kMostReported) {
        journal.error(journal.span_at(file, at, 1), "YAML directives ('%...') are not supported");
      }
      text[at] = '#';
    }
    at = std::min(text.find('\n', at), text.size());
  }
}

}  // namespace

std::optional<CleanText> clean_text(std::uint16_t file, std::string_view text, Journal& journal) {
  if (is_utf16(text)) {
    journal.error({file, 0, 0, 1}, "this file is in UTF-16: save it as UTF-8");
    return std::nullopt;
  }
  if (has_only_carriage_returns(text)) {
    journal.error({file, 0, 0, 1},
                  "the lines of this file end in carriage returns alone",
                  "save it with line feeds");
    return std::nullopt;
  }
  CleanText clean{std::string(text), false};
  if (!replace_unprintable(file, clean.text, journal)) {
    return std::nullopt;
  }
  clean.tabs_in_indentation = replace_tabs(file, clean.text, journal);
  replace_directives(file, clean.text, journal);
  return clean;
}

}  // namespace holdfast::config
