// SPDX-License-Identifier: Apache-2.0
// Texts of a configuration as values: numbers, durations, sizes, names, paths. A value is taken
// only in the one form that the documentation shows; what comes close is refused with the right
// form. Pure, any thread.
#pragma once

#include "config/model.h"
#include "config/tree.h"

#include <chrono>
#include <cstdint>
#include <expected>
#include <limits>
#include <string>
#include <string_view>

namespace holdfast::config {

// Why a value was refused. The message reads after the key: "'5' has no unit: write '5s' or '5ms'".
struct Complaint {
  std::string message;
  std::string help;
};

template <typename T>
using Read = std::expected<T, Complaint>;

// What YAML would take an unquoted text for.
enum class Looks : std::uint8_t { kText, kNumber, kBoolean, kNull };
Looks looks_like(std::string_view plain);
// "a number", "a boolean", "empty": for messages about such a text.
std::string_view looks_name(std::string_view plain);

// Whether nothing was written, or a word that says so.
bool is_nothing(const Node& node);
// A complaint that `node` is not `wanted`: "must be a list, not a map".
Complaint wrong_kind(const Node& node, std::string_view wanted);

struct IntegerRange {
  std::uint64_t least = 0;
  std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
};
struct DurationRange {
  std::chrono::milliseconds least;
  std::chrono::milliseconds most;
};

// Text: a scalar that YAML takes for nothing else, or one in quotes.
Read<std::string> read_text(const Node& node);
Read<bool> read_boolean(const Node& node);
// Decimal digits without sign, leading zero or exponent, not in quotes.
Read<std::uint64_t> read_integer(const Node& node, IntegerRange range);
// An integer that may end in k (1000) or M (1000 k).
Read<std::uint64_t> read_count(const Node& node, IntegerRange range);
// An integer and KiB, MiB, GiB or TiB, as bytes.
Read<std::uint64_t> read_size(const Node& node, IntegerRange range);
// An integer and ms, s, m or h.
Read<std::chrono::milliseconds> read_duration(const Node& node, DurationRange range);
// A letter or digit, then up to 62 letters, digits, '.', '_' or '-'.
Read<std::string> read_name(const Node& node);
// Text without control characters, which would end a path or a line early.
Read<std::string> read_printable(const Node& node);
// An absolute path of at most `longest` bytes.
Read<std::string> read_path(const Node& node, std::size_t longest);

// For readers of other forms: a scalar's text or a complaint, decimal digits as a number (too large
// ones as the largest), the digits that a text starts with, and a value outside its range.
Read<std::string_view> scalar_text(const Node& node, std::string_view wanted);
Read<std::uint64_t> parse_decimal(std::string_view digits);
std::string_view leading_digits(std::string_view text);
Complaint out_of_range(std::string_view text, std::string_view least, std::string_view most);

// "250ms", "5s", "2h": the largest unit that is exact.
std::string duration_text(std::chrono::milliseconds duration);
std::string size_text(std::uint64_t bytes);

}  // namespace holdfast::config
