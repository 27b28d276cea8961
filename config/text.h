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

struct CleanText {
  std::string text;  // as long as the file, with harmless bytes in place of the reported ones
  bool tabs_in_indentation = false;
};

// Reports every offending byte; nullopt when this is not text at all, so that nothing else is worth
// saying about it.
std::optional<CleanText> clean_text(std::uint16_t file, std::string_view text, Journal& journal);

}  // namespace holdfast::config
