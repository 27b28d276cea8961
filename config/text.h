// SPDX-License-Identifier: Apache-2.0
// The first look at a file's bytes, before the YAML parser sees them: printable UTF-8, no byte
// order mark, no tabs in indentation. Pure apart from the journal.
#pragma once

#include "config/journal.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::config {

inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Stands in place of a byte that was reported: what holds it needs no second message. No file has
// it else, since it is such a byte itself.
inline constexpr char kReplacement = '\x7f';

struct CleanText {
  std::string text;  // as long as the file, with kReplacement in place of what is not printable
  bool tabs_in_indentation = false;
};

// Reports every offending byte; nullopt when this is not text at all, so that nothing else is worth
// saying about it.
std::optional<CleanText> clean_text(std::uint16_t file, std::string_view text, Journal& journal);

}  // namespace holdfast::config
